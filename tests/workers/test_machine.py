"""The machine: strategies as coroutines that ask for orders, with nothing but the results told deciding what they do."""

import pytest

from router.errors import BackendUnavailable, BudgetExhausted
from workers.machine import Crowd, Machine, Order, together


class Ask(Order):
    """An order with a name."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


async def one(name):
    return await Ask(name)


def begin(run):
    machine = Machine()
    machine.start(run(machine))
    return machine


def names(machine):
    return {order.name: number for number, order in machine.ask()}


def finish(machine, *told):
    """Tell these results of the orders numbered from 0."""
    machine.ask()
    for number, result in enumerate(told):
        machine.tell(number, result)
        machine.ask()
    return machine.result()


def test_orders_come_one_after_the_other_and_results_go_back():
    async def run(_):
        return [await one("a"), await one("b")]

    machine = begin(run)
    assert names(machine) == {"a": 0}
    assert machine.tell(0, 10)
    assert names(machine) == {"b": 1}
    machine.tell(1, 20)
    assert machine.ask() == []
    assert (machine.finished, machine.result()) == (True, [10, 20])


def test_results_stay_in_the_order_of_the_jobs_whatever_comes_first():
    machine = begin(lambda machine: together(Crowd(machine, (one(name) for name in "abc"))))
    machine.ask()
    for number in (2, 0, 1):
        machine.tell(number, f"r{number}")
        machine.ask()
    assert machine.result() == ["r0", "r1", "r2"]


def test_no_more_run_side_by_side_than_the_width():
    machine = begin(lambda machine: together(Crowd(machine, (one(name) for name in "abcd"), 2)))
    assert list(names(machine)) == ["a", "b"]
    machine.tell(1, 1)
    assert list(names(machine)) == ["c"]


def test_leaving_a_crowd_drops_the_others_and_runs_their_finally():
    ended = []

    async def job(name):
        try:
            return await one(name)
        finally:
            ended.append(name)

    async def run(machine):
        with Crowd(machine, (job(name) for name in "abc")) as crowd:
            return (await anext(crowd))[1]

    machine = begin(run)
    machine.ask()
    machine.tell(1, "first")
    machine.ask()
    assert machine.result() == "first"
    assert ended == ["b", "a", "c"]
    assert sorted(machine.dropped()) == [0, 2]
    assert not machine.tell(0, "late")


def test_dropping_a_job_drops_the_crowds_within_it():
    async def inner(machine, name):
        return await together(Crowd(machine, (one(f"{name}{place}") for place in range(2))))

    async def run(machine):
        with Crowd(machine, (inner(machine, name) for name in "ab")) as crowd:
            return (await anext(crowd))[0]

    machine = begin(run)
    numbers = names(machine)
    for name in ("b0", "b1"):
        machine.tell(numbers[name], 0)
        machine.ask()
    assert machine.result() == 1
    assert sorted(machine.dropped()) == sorted([numbers["a0"], numbers["a1"]])


def test_a_job_that_fails_is_left_out():
    machine = begin(lambda machine: together(Crowd(machine, (one(name) for name in "abc"))))
    assert finish(machine, 1, BackendUnavailable("out of order"), 3) == [1, 3]


def test_when_all_fail_the_first_error_is_raised():
    machine = begin(lambda machine: together(Crowd(machine, (one(name) for name in "ab"))))
    with pytest.raises(BudgetExhausted):
        finish(machine, BudgetExhausted("none left"), BackendUnavailable("out of order"))


def test_a_bug_in_a_job_is_raised_at_once():
    async def wrong():
        await one("a")
        raise ZeroDivisionError

    async def run(machine):
        return await together(Crowd(machine, [wrong(), one("b")]))

    machine = begin(run)
    machine.ask()
    machine.tell(0, None)
    machine.ask()
    with pytest.raises(ZeroDivisionError):
        machine.result()
    assert machine.dropped() == [1]


def test_an_error_may_be_caught_where_it_is_awaited():
    async def run(_):
        try:
            return await one("a")
        except BackendUnavailable:
            return await one("b")

    assert finish(begin(run), BackendUnavailable("out of order"), "second") == "second"


def test_nothing_to_do_is_nothing():
    machine = begin(lambda machine: together(Crowd(machine, ())))
    machine.ask()
    assert machine.result() == []


def test_closing_ends_everything_where_it_stands():
    ended = []

    async def run(machine):
        try:
            return await together(Crowd(machine, (one(name) for name in "ab")))
        finally:
            ended.append(True)

    machine = begin(run)
    machine.ask()
    machine.close()
    assert (machine.finished, ended, sorted(machine.dropped())) == (True, [True], [0, 1])


def test_the_same_results_in_the_same_order_give_the_same_run():
    def history(order):
        asked = []

        async def run(machine):
            async def chain(name):
                value = await one(name)
                asked.append((name, value))
                return value + await one(f"{name}'")

            return await together(Crowd(machine, (chain(name) for name in "abc"), 2))

        machine, waiting = begin(run), []
        while not machine.finished:
            waiting += [number for number, _ in machine.ask()]
            if waiting:
                number = waiting.pop(order(len(waiting)))
                machine.tell(number, number)
        return asked, machine.result()

    assert history(lambda count: 0) == history(lambda count: 0)
    assert history(lambda count: 0) != history(lambda count: count - 1)
