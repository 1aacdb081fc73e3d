"""Work that ends when what it belongs to does."""

import asyncio

import pytest

from router.background import background


async def deaf(times: int, heard: list[str]) -> None:
    """Swallows so many cancellations."""
    for _ in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append("swallowed")
    try:
        await asyncio.sleep(60)
    finally:
        heard.append("ended")


async def test_it_ends_even_where_a_cancellation_is_swallowed():
    heard: list[str] = []
    async with asyncio.timeout(5), background(one=deaf(0, heard), other=deaf(1, heard)):
        await asyncio.sleep(0.01)
        assert not heard
    assert sorted(heard) == ["ended", "ended", "swallowed"]


async def test_it_ends_when_its_owner_fails():
    heard: list[str] = []

    async def owner():
        async with background(one=deaf(0, heard)):
            await asyncio.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await owner()
    assert heard == ["ended"]
