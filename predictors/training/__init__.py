"""How the predictors and the probe are made. A package of its own, so that looking for plug-ins loads none of what training needs."""
