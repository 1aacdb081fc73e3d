"""Text to vector, one encoder per file."""

from router.ports import Encoder
from router.registry import Registry

encoders: Registry[Encoder] = Registry("predictors.encoders")
