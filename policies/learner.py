"""Outcomes as they come, to posteriors: what every router makes of the same decision log is the same, bit for bit.

A decision's rows come in any order, late and repeated. Its first purchase is counted by whether its own answer was right, and a later last one by
whether the answer given was, as that is what was forecast of it: each once, by the most trusted source that has rated it so far; a more trusted one
takes the place of the earlier one. Old outcomes fade with the time that the rows themselves tell, and those from before a change of their plan count
no more (`change`). A source's words count as far as they agree with the checks (`sources`).
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from policies.case import Case, Compared, Counted, Purchase
from policies.network import Network
from policies.page import RECENT, Outcome, Page, Strand
from policies.posterior import Posterior, fit
from policies.sources import CHECKS, USUAL, Ear, comparison, ear
from policies.tally import Array, Tally, paid, told
from router.types import Record

FLEET = ""  # the tenant of whom nothing is known yet
_DAY = 86_400.0
_STEPS = 64  # in which a half-life passes
_DEEP = 1_024  # outcomes of a tenant and a plan that networks are fitted to
_PAGES = 3  # versions of the predictor that may serve in turns


class Learner:
    """Folds rows of the decision log. `outcomes` counts those learned from, `quarantined` what was not believed, by reason.

    `changes` counts, by tenant and plan, how often a plan was no longer what it had been.
    """

    def __init__(self, *, half_life: float = 14.0, most: float = 500.0, remember: int = 50_000, deep: bool = False) -> None:
        """`half_life` in days. One tenant is worth at most `most` outcomes of a plan to others; `remember` decisions may still be rated.

        `deep` fits networks, for `neural_linear`.
        """
        self.quarantined: Counter[str] = Counter()
        self.changes: Counter[tuple[str, str]] = Counter()
        self.outcomes = 0
        self._pages: OrderedDict[tuple[str, int], Page] = OrderedDict()
        self._cases: OrderedDict[str, Case] = OrderedDict()
        self._compared: dict[tuple[str, str], Array] = {}
        self._ears: dict[str, Mapping[str, Ear]] = {}
        self._step, self._most, self._remember = half_life * _DAY / _STEPS, most, remember
        self._began: float | None = None
        self._deep = deep
        self._age = 0

    @property
    def disbelieved(self) -> list[tuple[str, str]]:
        """Tenants and their sources whose words contradict the checks too often to be counted."""
        return [key for key in sorted(self._compared) if self._hears(key[0])[key[1]].quarantined]

    def fold(self, record: Record) -> bool:
        """Take one row in; whether there is anything new to learn from it."""
        self._pass_time(record.at)
        if record.kind == "reward":
            return self._rated(record)
        if record.inherited:  # its forecasts stood on what another decision has bought, which was learned from there
            return False
        case = self._case(record.decision_id)
        new = record.action == "buy" and self._bought(case, record)
        if record.action != "buy" or not record.stop_reason:  # the end of a request, or a decision that the caller carries out
            case.given = record.answer if record.action != "buy" else record.outcome_answer
        return self._settle(case) or new

    def posteriors(self) -> dict[str, Posterior]:
        """By tenant, and for FLEET: of the predictor's version that served last, and with it of those that served before."""
        found = self._posteriors(deep=False)
        if self._deep:
            deep = self._posteriors(deep=True)
            found = {tenant: replace(posterior, deep=deep[tenant]) for tenant, posterior in found.items()}
        return found

    def _posteriors(self, *, deep: bool) -> dict[str, Posterior]:
        pages = [page for page in self._pages.values() if page.strands]
        tenants = {tenant for page in pages for tenant, _ in page.strands}
        found: dict[str, Posterior] = {}
        for page in pages:
            network = page.network if deep else None
            fleet, own = page.tallies(partial(self._tally, network=network), self._most)
            whole = fit(page.predictor, fleet, network)
            for tenant in (FLEET, *(sorted(tenants) if len(tenants) > 1 else ())):
                known = fit(page.predictor, own[tenant], network) if tenant in own else whole
                found[tenant] = known.after(found.get(tenant))
        return found

    def _tally(self, tenant: str, strand: Strand, network: Network | None) -> Tally:
        ears = self._hears(tenant)
        return strand.retold(ears, network, self._left) if network else strand.tally(ears)

    def _case(self, decision_id: str) -> Case:
        if decision_id not in self._cases and len(self._cases) >= self._remember:
            self._cases.popitem(last=False)
        return self._cases.setdefault(decision_id, Case())

    def _bought(self, case: Case, record: Record) -> bool:
        """Take in a decision's first purchase, or one that is later than those known."""
        before = case.last if record.stage else case.first
        if before and before.record.stage >= record.stage:
            return False
        if record.plan not in record.offered or len(record.costs) != len(record.offered):
            self.quarantined["incomplete"] += 1
            return False
        numbers = (*record.context, *record.costs, *record.success)
        if not all(map(math.isfinite, numbers)):
            self.quarantined["not finite"] += 1
            return False
        page, purchase = self._turn_to(record), Purchase(record)
        if record.stage:
            self._take_back(before)
            case.last = purchase
        else:
            case.first = purchase
        if not record.cost:
            return False
        self._paid(page, record, record.cost)
        return True

    def _paid(self, page: Page, record: Record, cost: int) -> None:
        page.strand(record.tenant, record.plan).pay(paid(record.context, cost, record.costs[record.offered.index(record.plan)]))

    def _turn_to(self, record: Record) -> Page:
        """The page of the predictor that made this forecast; the one that has not served for longest makes room for a new one."""
        key = _page_of(record)
        if key not in self._pages:
            self._pages[key] = Page(*key, keep=_DEEP if self._deep else RECENT)
        self._pages.move_to_end(key)
        if len(self._pages) > _PAGES:
            self._pages.popitem(last=False)
        return self._pages[key]

    def _rated(self, record: Record) -> bool:
        value = record.reward
        if value is None or not 0 <= value <= 1:  # NaN is neither
            self.quarantined["out of range"] += 1
            return False
        if record.reward_source not in USUAL:
            self.quarantined["unknown source"] += 1
            return False
        case = self._case(record.decision_id)
        if record.stage > 0 or record.reward_source in case.ratings:
            return False
        case.cost = record.cost if not case.ratings else case.cost  # the first to rate a plan says what it cost
        case.ratings[record.reward_source] = (record.stage, value)
        if self._hears(record.tenant)[record.reward_source].quarantined:
            self.quarantined["disagrees"] += 1
        return self._settle(case)

    def _settle(self, case: Case) -> bool:
        """Count what the ratings say of the first purchase, and of the last one, which was to make the answer given right."""
        if case.first is None:
            return False
        first = case.first.record
        if case.cost and not first.stop_reason and (page := self._pages.get(_page_of(first))):  # carried out by the caller, who says what it cost
            self._paid(page, first, case.cost)
            case.cost = 0
        said = {source: right for source, rating in case.ratings.items() if (right := case.right(*rating)) is not None}
        new = len(said) > 1 and self._compare(case, case.first.record.tenant, said)
        new |= self._count(case.first, said)
        if case.last and case.given is not None:
            new |= self._count(case.last, {source: value for source, (stage, value) in case.ratings.items() if stage < 0})
        return new

    def _count(self, purchase: Purchase, said: Mapping[str, float]) -> bool:
        """By the most trusted word there is."""
        record, page, ears = purchase.record, self._pages.get(_page_of(purchase.record)), self._hears(purchase.record.tenant)
        source = max((one for one in said if ears[one].index), key=USUAL.__getitem__, default="")
        if page is None or not source or (purchase.counted and purchase.counted.outcome.source == source):
            return False
        strand = page.strand(record.tenant, record.plan)
        if record.at < strand.since:
            return False
        self._take_back(purchase)
        outcome = Outcome(told(record.context, record.success[record.offered.index(record.plan)], said[source]), source, record.at, self._age)
        purchase.counted = Counted(strand, strand.add(outcome), outcome)
        self.outcomes += 1
        page.outcomes += 1
        if self._deep:
            page.fit_network(self._hears)
        if strand.changed(ears, self._left):
            self.changes[record.tenant, record.plan] += 1
        return True

    def _take_back(self, purchase: Purchase | None) -> None:
        counted = purchase.counted if purchase else None
        if counted:
            counted.strand.take_back(counted.number, counted.outcome, self._left(counted.outcome))
            self.outcomes -= 1

    def _compare(self, case: Case, tenant: str, words: Mapping[str, float]) -> bool:
        """Hold each source against the surest check that has rated the same answer; whether there was anything new to hold against it."""
        check = next((one for one in CHECKS if one in words), "")
        new = False
        for source, said in words.items():
            before = case.compared.get(source)
            if not check or USUAL[source] >= USUAL[check] or (before and (before.right, before.said) == (words[check], said)):
                continue
            counts = self._compared.get((tenant, source), np.zeros((2, 2)))
            if before:
                counts = counts - _faded(self._age - before.age) * comparison(before.right, before.said)
            self._compared[tenant, source] = counts + comparison(words[check], said)
            case.compared[source] = Compared(words[check], said, self._age)
            new = True
        if new:
            self._ears.pop(tenant, None)
        return new

    def _hears(self, tenant: str) -> Mapping[str, Ear]:
        if tenant not in self._ears:
            self._ears[tenant] = {source: ear(source, self._compared.get((tenant, source), np.zeros((2, 2)))) for source in USUAL}
        return self._ears[tenant]

    def _left(self, outcome: Outcome) -> float:
        return _faded(self._age - outcome.age)

    def _pass_time(self, at: float) -> None:
        """In steps, so that it costs nothing; a row that is late makes nothing younger."""
        if self._began is None:
            self._began = at
        age = int((at - self._began) // self._step)
        if age > self._age:
            share, self._age = _faded(age - self._age), age
            for page in self._pages.values():
                for strand in page.strands.values():
                    strand.fade(share)
            self._compared = {key: counts * share for key, counts in self._compared.items()}
            self._ears.clear()


def _page_of(record: Record) -> tuple[str, int]:
    return record.predictor, 2 + len(record.context)


def _faded(steps: int) -> float:
    return float(0.5 ** (steps / _STEPS))
