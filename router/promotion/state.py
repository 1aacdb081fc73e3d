"""How far a candidate has come, and what the guard found: what is kept of both, for every router and for people."""

from typing import Literal

from router.section import Section
from router.settings import CandidateSettings

Stage = Literal["shadow", "canary", "full", "adopted", "rejected", "rolled back"]
KNOBS = frozenset(("abstain_below", "risk", "exploration"))  # that a candidate may have of its own: others change what is asked of it, or its cost


class Event(Section):
    """One step of a promotion: when it was taken (Unix seconds), where it led, and the reason."""

    at: float
    stage: Stage
    why: str


class Promotion(Section):
    """A candidate of one tenant, since `began` at its `stage`."""

    candidate: CandidateSettings
    control: str = ""
    """The best constant plan, found in the shadow."""
    stage: Stage = "shadow"
    began: float
    events: tuple[Event, ...] = ()

    @property
    def under_way(self) -> bool:
        """Whether there is anything to review."""
        return self.stage in ("shadow", "canary", "full")

    def to(self, stage: Stage, why: str, at: float, control: str = "") -> "Promotion":
        """At its next stage."""
        events = (*self.events, Event(at=at, stage=stage, why=why))
        return self.model_copy(update={"stage": stage, "began": at, "events": events, "control": control or self.control})


def begun(candidate: CandidateSettings, at: float) -> Promotion:
    """In the shadow. Raises ValueError for a candidate that a promotion cannot carry."""
    if odd := sorted(set(candidate.knobs) - KNOBS):
        raise ValueError(f"a candidate may have knobs {', '.join(sorted(KNOBS))} of its own, not {', '.join(odd)}: set those for the tenant")
    if candidate == CandidateSettings():
        raise ValueError("the candidate is what serves already: name a policy, a predictor or knobs")
    return Promotion(candidate=candidate, began=at).to("shadow", "begun", at)


class Guard(Section):
    """Whether routing is better than the best constant plan, `control`, by a tenant's own log."""

    verdict: Literal["better", "unproven", "no better", "worse"] = "unproven"
    control: str = ""
    why: str = ""
    at: float = 0.0

    @property
    def closed(self) -> bool:
        """Whether the control is to serve."""
        return self.verdict in ("no better", "worse")
