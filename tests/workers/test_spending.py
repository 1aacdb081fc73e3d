"""Holding and releasing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BudgetExhausted
from router.types import Budget, Price, Usage
from tests.workers.toy import Bill
from workers.spending import Spending

FREE = Price()


def spending(**budget):
    return Spending(Budget(**budget), Bill())


async def test_what_does_not_fit_beside_others_waits_for_them_in_turn():
    account, order = spending(tokens=100), []

    async def call(name, took):
        async with account.hold(FREE, Usage(prompt_tokens=10), 40) as granted:
            order.append((name, granted))
            await asyncio.sleep(0.001)
            account.charge(FREE, Usage(prompt_tokens=10, kept_tokens=took, calls=1))

    async with asyncio.TaskGroup() as group:
        for name in "abcd":
            group.create_task(call(name, 15))
    assert order == [("a", 40), ("b", 40), ("c", 40), ("d", 15)]  # the last one, alone, is cut to what is left
    assert account.spent.tokens == 100


async def test_what_does_not_fit_alone_is_refused_and_harms_nobody():
    account = spending(tokens=12)
    with pytest.raises(BudgetExhausted):
        async with account.hold(FREE, Usage(prompt_tokens=12), 5):
            pass
    async with account.hold(FREE, Usage(prompt_tokens=11), 5) as granted:
        assert granted == 1


async def test_giving_up_the_wait_leaves_the_turn_to_the_next():
    account = spending(tokens=10)
    entered = []

    async def call(name):
        async with account.hold(FREE, Usage(), 10):
            entered.append(name)
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        group.create_task(call("first"))
        second = group.create_task(call("second"))
        group.create_task(call("third"))
        await asyncio.sleep(0)
        second.cancel()
    assert entered == ["first", "third"]


async def test_scoring_is_held_whole():
    account = spending(tokens=10)
    async with account.hold(FREE, Usage(scored_tokens=10)) as granted:
        assert granted == 0
    with pytest.raises(BudgetExhausted):
        async with account.hold(FREE, Usage(scored_tokens=11)):
            pass


@given(st.lists(st.integers(0, 50), max_size=30), st.floats(0, 3), st.floats(0, 3))
def test_costs_are_rounded_up_once(counts, prompt, completion):
    account, price = spending(), Price(prompt=prompt, completion=completion)
    for count in counts:
        account.charge(price, Usage(prompt_tokens=count, kept_tokens=1))
    exact = sum(counts) * prompt + len(counts) * completion
    assert account.spent.cost == account._meter.usage.cost
    assert exact - 1e-6 <= account.spent.cost < exact + 1


@given(st.integers(0, 500), st.floats(0.001, 5), st.integers(0, 60))
def test_a_granted_worst_case_never_costs_more_than_the_budget(cost, price, prompt):
    account, at = spending(cost=cost), Price(prompt=price / 3, completion=price)

    async def buy():
        async with account.hold(at, Usage(prompt_tokens=prompt), 10**6) as granted:
            account.charge(at, Usage(prompt_tokens=prompt, kept_tokens=granted))

    try:
        asyncio.run(buy())
    except BudgetExhausted:
        assert prompt * price / 3 + price > cost - 1e-6
    assert account.spent.cost <= cost


async def test_samples_and_calls_are_counted_while_they_run():
    account = spending(samples=2, calls=3)
    async with account.hold(FREE, Usage(samples=1, calls=1)), account.hold(FREE, Usage(samples=1, calls=1)):
        with pytest.raises(BudgetExhausted):
            async with account.hold(FREE, Usage(samples=1, calls=1)):
                pass
    account.charge(FREE, Usage(samples=2, calls=2))
    async with account.hold(FREE, Usage(calls=1)):
        pass
    with pytest.raises(BudgetExhausted):
        async with account.hold(FREE, Usage(samples=1, calls=1)):
            pass


async def test_each_pool_has_its_own_price_and_the_sum_is_rounded_once():
    account, dear = spending(cost=10), Price(completion=2.5)
    async with account.hold(Price(completion=0.4), Usage(), 4) as granted:
        account.charge(Price(completion=0.4), Usage(kept_tokens=granted))
    async with account.hold(dear, Usage(), 100) as granted:
        assert granted == 3
        account.charge(dear, Usage(kept_tokens=granted))
    assert account.spent.cost == 10  # 1.6 + 7.5
