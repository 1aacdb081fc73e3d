"""The frozen benchmark: Rheostat's predictors and decisions against every control, on tables of real outcomes of real models."""
