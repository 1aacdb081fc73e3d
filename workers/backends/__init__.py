"""Where samples come from, one kind per file."""

from router.ports import Backend
from router.registry import Registry

backends: Registry[Backend] = Registry("workers.backends")
