"""What operators look at: decisions line by line and summed up, how tenants stand, what serves, and which candidate is on its way."""
