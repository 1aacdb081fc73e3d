"""What judges candidates, one kind per file."""

from router.ports import Verifier
from router.registry import Registry

verifiers: Registry[Verifier] = Registry("workers.verifiers")
