"""The service's own fixtures, for what is deployed of it."""

from tests.integration.conftest import settings

__all__ = ["settings"]
