"""A refusal of the ledger, in words and numbers."""

import math

from router.errors import BudgetExhausted, RateLimited
from router.tenants import Unit

HELD_UP = 1.0  # seconds after which those in flight may have left enough


def exhausted(
    window: str, unit: Unit, *, limit: int, used: int, asked: int, retry_after: float, scope: str = "tenant"
) -> BudgetExhausted | RateLimited:
    """What to raise where a window has no room; `scope` is `tenant` or `fleet`."""
    again = f"try again in {math.ceil(retry_after)} s"
    numbers = {"window": window, "limit": limit, "used": used, "asked": asked, "unit": unit.value, "scope": scope}
    whose = "" if scope == "tenant" else f" of the {scope}"
    if unit is Unit.OPEN:
        return RateLimited(f"{used} of at most {limit} requests{whose} are under way; {again}", retry_after=retry_after, **numbers)
    if unit is Unit.REQUESTS:
        return RateLimited(f"{used} of at most {limit} requests{whose} were made in this {window}; {again}", retry_after=retry_after, **numbers)
    message = f"{asked} {unit.value} do not fit the {window}'s budget{whose}: {used} of {limit} are spent or held; {again}"
    return BudgetExhausted(message, retry_after=retry_after, **numbers)
