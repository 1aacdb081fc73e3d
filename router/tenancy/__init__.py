"""Tenants as resources: stored, versioned, audited, and the same on every router within a second."""
