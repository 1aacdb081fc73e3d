"""Any router knows a decision of its tenant by its id alone."""

from hypothesis import given
from hypothesis import strategies as st

from router.stamp import Stamp
from router.store import Store, shared_secret

OURS = Stamp(b"secret")


def test_what_was_made_for_a_tenant_is_known_for_it_alone() -> None:
    made = OURS.new("acme")
    assert len(made) == 48
    assert made != OURS.new("acme")
    assert OURS.known(made, "acme")
    assert not OURS.known(made, "acme2")
    assert not Stamp(b"other").known(made, "acme")


@given(st.text(max_size=64), st.text(max_size=64))
def test_nothing_else_is_known(guess: str, tenant: str) -> None:
    assert not OURS.known(guess, tenant)


async def test_routers_share_the_secret(store: Store) -> None:
    first = await shared_secret(store)
    assert len(first) == 32
    assert await shared_secret(store) == first
