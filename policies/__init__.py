"""Which plan do we buy next? One policy per file; every decision carries the exact probability with which it was made."""

from router.ports import Policy
from router.registry import Registry

policies: Registry[Policy] = Registry("policies")
