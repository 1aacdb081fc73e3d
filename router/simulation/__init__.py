"""A fleet that is not there yet, simulated from what was measured on the one that is."""
