"""A client of Rheostat: `Client`, and `AsyncClient` for code that awaits."""

from rheostat.client.aio import AsyncClient
from rheostat.client.asking import Asked
from rheostat.client.errors import RheostatError
from rheostat.client.sync import Client

__all__ = ["Asked", "AsyncClient", "Client", "RheostatError"]
