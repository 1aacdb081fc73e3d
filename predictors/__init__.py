"""What will this query gain from each plan? Encoders and features describe it, a predictor forecasts, `training` makes both."""

from router.ports import Predictor
from router.registry import Registry

predictors: Registry[Predictor] = Registry("predictors")
