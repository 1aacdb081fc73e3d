"""Run the plan: strategies over pools of backends, scored by verifiers, metered to the token."""
