"""A turn: where one request stands, who decides it, and what it has seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from router.admission import Bill
from router.ports import Describer, Policy, Predictor, Visit
from router.record import Book
from router.types import Answer, Budget, Ending, Evidence, Features, Final, Knobs, Outcome, Plan, Query, Receipt, Usage

NOTHING = Features(vector=np.zeros(0, np.float32), names=(), version="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """A dearer look at a query, for a first decision that is close; its predictor was fitted on what its describer gives.

    Close: the two best choices differ by less than the share `close` of what a right answer is worth.
    """

    describer: Describer
    predictor: Predictor
    close: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Who decides a share of a tenant's requests, drawn by request; what is None is as configured. `note` is given with the reasons.

    Its knobs take the place of the tenant's, not of those that a request states.
    """

    name: str
    share: float
    policy: Policy | None = None
    predictor: Predictor | None = None
    knobs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""


AS_CONFIGURED = Arm(name="", share=1.0)


@dataclass(slots=True, kw_only=True)
class Turn:
    """Where one request stands: what it may use, and what it has seen."""

    query: Query
    book: Book
    bill: Bill
    features: Features
    predictor: Predictor
    policy: Policy
    plans: tuple[Plan, ...]
    rng: np.random.Generator
    visit: Visit | None = None  # none: nothing is bought
    evidence: Evidence = field(default_factory=Evidence)
    inherited: int = 0  # outcomes that it began with
    best: Answer | None = None
    stages: list[tuple[str, Usage]] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    broken: bool = False  # a pool failed while an answer was in hand
    note: str = ""
    short: bool = False  # what the policy chose did not fit the tenant's budget any more
    late: bool = False  # no plan is expected to be done by the deadline
    held: float = 0.0  # micro-dollars reserved with the tenant's pacer
    quality: float | None = None  # of the answer given, once there is one; 0 for an abstention

    @property
    def left(self) -> Budget:
        """What the request may still spend."""
        return self.query.budget.less(self.bill.usage)

    def inherit(self) -> bool:
        """Begin with what earlier requests have bought for this question, as far as this one may buy it too; whether there is any of it."""
        allowed = {plan.id for plan in self.plans}
        bought = [(origin, outcome) for origin, outcome in (self.visit.bought if self.visit else ()) if outcome.plan in allowed]
        if bought:
            origins, outcomes = zip(*bought, strict=True)
            self.evidence, self.inherited = Evidence(outcomes=outcomes), len(outcomes)
            self.book = replace(self.book, inherited=origins)
        return bool(bought)

    def bought(self, row_id: str, outcome: Outcome) -> None:
        """Take in what a purchase gave."""
        self.stages.append((outcome.plan, outcome.usage))
        self.evidence = self.evidence.plus(outcome)
        self.best = self.predictor.best(self.features, self.evidence)
        if self.visit:
            self.visit.bought = (*self.visit.bought, (row_id, outcome))

    @property
    def knobs(self) -> Knobs:
        """The request's, with the bar that keeps its risk; stages are counted with those it began with, as evidence is."""
        knobs = self.query.knobs
        if self.inherited:
            knobs = replace(knobs, max_stages=knobs.max_stages + self.inherited)
        return knobs if knobs.risk >= 1 else replace(knobs, abstain_below=max(knobs.abstain_below, self.predictor.bar(knobs.risk)))

    def plan(self, name: str) -> Plan:
        """One of its plans."""
        return next(plan for plan in self.plans if plan.id == name)

    def final(self, ending: Ending) -> Final:
        """The end of the request as it stands."""
        degraded = (*self.degraded, "STORE_UNAVAILABLE") if self.bill.degraded else tuple(self.degraded)
        receipt = Receipt(usage=self.bill.usage, stages=tuple(self.stages))
        answer = None if ending == "abstained" else self.best
        return Final(decision_id=self.book.decision_id, answer=answer, receipt=receipt, ending=ending, degraded=degraded)
