"""The line: all that the log says of one call, gathered on its way. Never a prompt, an answer or a secret."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType

from router.types import Final, Usage


@dataclass(slots=True)
class Line:
    """What is known of a call so far. `tenant` is set where an answer was asked for, by a tenant that exists."""

    tenant: str = ""
    ending: str = ""
    cached: bool = False
    confidence: float | None = None  # in the answer given; 0 where it is an abstention, none where there was neither
    degraded: tuple[str, ...] = ()
    plans: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    seconds: dict[str, float] = field(default_factory=dict)  # by step

    def ended(self, final: Final) -> None:
        """The answer was given."""
        self.ending, self.cached, self.degraded = final.ending, final.receipt.cached, final.degraded
        self.confidence = final.answer.confidence if final.answer else 0.0

    def bought(self, plan: str, usage: Usage) -> None:
        """A plan was run, to its end or not."""
        self.plans.append(plan)
        self.usage += usage

    def spent(self, step: str, seconds: float) -> None:
        """A step was taken, perhaps once more."""
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds

    def facts(self) -> dict[str, object]:
        """As the log has it; what does not apply to the call is left out."""
        facts: dict[str, object] = {"steps_ms": {step: round(seconds * 1e3, 2) for step, seconds in self.seconds.items()}} if self.seconds else {}
        if self.tenant:
            facts |= {"ending": self.ending, "plans": self.plans, "tokens": self.usage.tokens, "cost_microdollars": self.usage.cost}
            facts |= {"cached": self.cached, "degraded": list(self.degraded)}
        return facts


_current: ContextVar[Line] = ContextVar("rheostat_line")


def current_line() -> Line:
    """That of the call at hand; outside a call one that nobody reads."""
    return _current.get(None) or Line()


class lined:
    """A line of its own for a call."""

    __slots__ = ("_token",)

    def __enter__(self) -> Line:
        line = Line()
        self._token = _current.set(line)
        return line

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _current.reset(self._token)
