"""What the decision log says of a policy, or of a knob, before it serves."""
