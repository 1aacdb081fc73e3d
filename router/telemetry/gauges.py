"""Gauges: what is looked up whenever metrics are collected."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from router.ports import Pacer
from router.telemetry.names import DOUBT, MOST_TENANTS, PLAN, POOL, PROMOTION, SHELF, TENANT, UNIT, VERDICT, WHY, WINDOW
from router.types import Standing


class Gauges:
    """What is looked at, not counted. Each is watched through a function that is called from a thread of the exporter's, and must be quick."""

    def __init__(self, meters: MeterProvider) -> None:
        self._gauge = meters.get_meter("rheostat").create_observable_gauge
        self._counter = meters.get_meter("rheostat").create_observable_counter

    def watch_journal(self, pending: Callable[[], int]) -> None:
        """Report how many rows are acknowledged but not shipped, whenever metrics are collected."""
        observe = [lambda _: [Observation(pending())]]
        self._gauge("rheostat.journal.pending", observe, "{record}", "Rows on disk that are still to be shipped")

    def watch_cache(self, taken: Callable[[], Sequence[int]]) -> None:
        """Report how many bytes of Redis answers and ended requests take."""
        observe = [lambda _: [Observation(one, {SHELF: shelf}) for shelf, one in zip(("answers", "requests"), taken(), strict=True)]]
        self._gauge("rheostat.cache.size", observe, "By", "What the cache takes in Redis")

    def watch_pools(self, loads: Callable[[], Mapping[str, float]], shares: Callable[[], Mapping[str, float]]) -> None:
        """Report how busy every pool is, and what a place in its queue counts, as a share of what its plans cost."""
        for name, look, description in (
            ("rheostat.pool.load", loads, "Samples that are drawn or wait, of those that can be drawn at once"),
            ("rheostat.pool.surcharge", shares, "What a pool's queue adds in decisions, as a share of what its plans cost"),
        ):
            observe = [lambda _, look=look: [Observation(one, {POOL: pool}) for pool, one in look().items()]]
            self._gauge(name, observe, "1", description)

    def watch_workers(self, serving: Callable[[], Mapping[str, int]], ejected: Callable[[], int], second: Callable[[], Mapping[str, int]]) -> None:
        """Report how many workers every pool has, how many are left out now, and how often a plan was run a second time, by why."""
        observe = [lambda _: [Observation(count, {POOL: pool}) for pool, count in serving().items()]]
        self._gauge("rheostat.pool.workers", observe, "{worker}", "Workers that serve this pool and are given work")
        self._gauge("rheostat.workers.ejected", [lambda _: [Observation(ejected())]], "{worker}", "Workers that are given nothing now")
        repeated = [lambda _: [Observation(count, {WHY: why}) for why, count in second().items()]]
        self._counter("rheostat.executions.repeated", repeated, "{execution}", "Plans that were run on another worker too")

    def watch_guard(self, closed: Callable[[], Mapping[str, bool]]) -> None:
        """Report for each tenant whether the control serves because routing is no better."""
        observe = [lambda _: [Observation(int(one), {TENANT: tenant}) for tenant, one in islice(closed().items(), MOST_TENANTS)]]
        self._gauge("rheostat.guard.closed", observe, "1", "Whether the best constant plan serves instead of routing")

    def watch_standings(self, verdicts: Callable[[], Mapping[str, str]], stages: Callable[[], Mapping[str, str]]) -> None:
        """Report for each tenant what the guard found, and how far a candidate has come where there is one: 1 beside the word that holds."""
        for name, label, look, description in (
            ("rheostat.guard.standing", VERDICT, verdicts, "Whether routing is better than the best constant plan, by the tenant's own log"),
            ("rheostat.promotion.standing", PROMOTION, stages, "How far a tenant's candidate has come"),
        ):
            observe = [
                lambda _, look=look, label=label: [
                    Observation(1, {TENANT: tenant, label: word}) for tenant, word in islice(look().items(), MOST_TENANTS)
                ]
            ]
            self._gauge(name, observe, "1", description)

    def watch_learning(
        self,
        outcomes: Callable[[], int],
        changes: Callable[[], Mapping[str, int]],
        quarantined: Callable[[], Mapping[str, int]],
        disbelieved: Callable[[], int],
        behind: Callable[[], float],
    ) -> None:
        """Report what was learned from outcomes, which plans changed, why outcomes were not believed, and when the stream's end was seen."""
        self._gauge("rheostat.learning.outcomes", [lambda _: [Observation(outcomes())]], "{outcome}", "Outcomes that forecasts are corrected by")
        self._gauge(
            "rheostat.learning.disbelieved", [lambda _: [Observation(disbelieved())]], "{source}", "Sources, by tenant, that nobody listens to"
        )
        self._gauge("rheostat.learning.behind", [lambda _: [Observation(behind())]], "s", "Since the decision stream was followed to its end")
        for name, label, look, description in (
            ("rheostat.learning.changes", PLAN, changes, "Times that a plan was no longer what it had been"),
            ("rheostat.learning.quarantined", DOUBT, quarantined, "Outcomes that were not believed, by why"),
        ):
            observe = [lambda _, look=look, label=label: [Observation(count, {label: word}) for word, count in look().items()]]
            self._counter(name, observe, "{outcome}", description)

    def watch_budgets(self, left: Callable[[], Mapping[tuple[str, str, str], float]]) -> None:
        """Report what is left to each tenant in each of its limited windows, by the names of both and the unit that the window counts."""
        observe = [lambda _: [Observation(one, {TENANT: tenant, WINDOW: window, UNIT: unit}) for (tenant, window, unit), one in left().items()]]
        self._gauge("rheostat.budget.left", observe, "1", "What a tenant may still spend in this window")

    def watch_pacers(self, pacers: Mapping[str, Pacer], now: Callable[[], float] = time.time) -> None:
        """Report where every tenant's objective stands, whenever metrics are collected."""

        def gauge(name: str, unit: str, description: str, of: Callable[[Standing], float]) -> None:
            def observe(_: CallbackOptions) -> list[Observation]:
                return [Observation(of(pacer.standing(now())), {TENANT: tenant}) for tenant, pacer in list(pacers.items())]

            self._gauge(name, [observe], unit, description)

        gauge("rheostat.objective.value", "{microdollar}", "What a right answer is worth now", lambda one: one.value)
        gauge("rheostat.objective.spent", "1", "Share of the cap spent in this window", lambda one: one.spent)
        gauge("rheostat.objective.deficit", "{answer}", "Right answers by which recent requests fell short of the floor", lambda one: one.deficit)
