"""A tenant's standing terms, as files and requests state them."""

import math
from collections.abc import Collection, Iterator
from typing import Protocol

from pydantic import Field, model_validator

from router.section import Section
from router.tenants import DAY, CacheScope, Priority, Retention, Tenant, Unit, Window
from router.types import Knobs, Objective

_DAY = 86_400.0  # seconds
_VALUE = 8_000.0  # micro-dollars, where a tenant says nothing of what it wants


class BudgetSettings(Section):
    """What may be spent, and asked, in windows of time that all routers count together."""

    per_minute: int | None = Field(None, gt=0)
    """Micro-dollars."""
    per_day: int | None = Field(None, gt=0)
    """Micro-dollars; a day begins at midnight, UTC."""
    per_month: int | None = Field(None, gt=0)
    """Micro-dollars; a month of the calendar, in UTC."""
    tokens_per_minute: int | None = Field(None, gt=0)
    """Tokens read, written and scored, whatever became of them."""
    tokens_per_day: int | None = Field(None, gt=0)
    """As `per_day`, in tokens."""
    tokens_per_month: int | None = Field(None, gt=0)
    """As `per_month`, in tokens."""
    requests_per_minute: int | None = Field(None, gt=0)
    """Answers that are bought; those from the cache do not count."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """Those that limit anything, and the day, in which spending is counted in any case."""
        found = (
            Window("minute", 60, self.per_minute),
            DAY._replace(limit=self.per_day),
            Window("month", None, self.per_month),
            Window("minute-tokens", 60, self.tokens_per_minute, Unit.TOKENS),
            Window("day-tokens", DAY.seconds, self.tokens_per_day, Unit.TOKENS),
            Window("month-tokens", None, self.tokens_per_month, Unit.TOKENS),
            Window("minute-requests", 60, self.requests_per_minute, Unit.REQUESTS),
        )
        return tuple(one for one in found if one.limit is not None or one.name == DAY.name)


class Named(Protocol):
    """What names plans, and a policy."""

    @property
    def plans(self) -> Collection[str]:
        """Ids; none: whichever."""

    @property
    def policy(self) -> str | None:
        """Its name; none: whichever."""


def unknown_names(stated: Named, plans: Collection[str], policies: Collection[str]) -> Iterator[tuple[str, str]]:
    """Which fields name what there is not, and what to do about it."""
    if odd := sorted(set(stated.plans) - set(plans)):
        yield "plans", f"no plan {', '.join(odd)}; there are {', '.join(plans)}"
    if stated.policy and stated.policy not in policies:
        yield "policy", f"no policy {stated.policy!r}; there are {', '.join(policies)}"


class TenantSettings(BudgetSettings):
    """One tenant's standing terms; see `Knobs` for what each knob does. It names one of `value`, `floor` and `cap`; none is a value of 8,000."""

    value: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Micro-dollars one right answer is worth."""
    floor: float | None = Field(None, gt=0, le=1)
    """Mean quality to be had at the least cost."""
    cap: int | None = Field(None, gt=0)
    """Micro-dollars that may be spent in every window, for the most quality."""
    window: float | None = Field(None, ge=1, allow_inf_nan=False)
    """Seconds of the cap's window, counted from the beginning of 1970; none: a day."""
    abstain_below: float = Field(0.0, ge=0, le=1)
    """The answer is withheld when its probability of being right is lower than this."""
    risk: float = Field(1.0, ge=0, le=1)
    """Share of the answers given that may be wrong; 1 promises nothing."""
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Within which an answer is wanted; plans that are not expected to be done in time are not bought. None: the caller's deadline alone."""
    exploration: float = Field(0.02, ge=0, le=1)
    """Share of decisions drawn uniformly, so that the log can teach."""
    max_stages: int = Field(4, ge=1, le=8)
    """How many plans may be bought for one question, at most."""
    plans: tuple[str, ...] = ()
    """Ids of the plans that may be bought; none: all there are."""
    policy: str = ""
    """Name of a configured policy; none: the first of them."""
    cache: bool = True
    """Whether an answer that was paid for before may be given again."""
    concurrency: int | None = Field(None, gt=0)
    """Answers under way at once, over all routers."""
    priority: Priority = Priority.NORMAL
    """Share of what is scarce, where others want it too: `high` has four times that of `normal`, `low` a quarter of it."""
    cache_scope: CacheScope = CacheScope.TENANT
    """Who else may be given this tenant's answers."""
    semantic_risk: float | None = Field(None, gt=0, lt=1)
    """Share of answers given from the cache to other words for the same question that may be to another question; none: the same words only."""
    retention: Retention = Retention.HASH
    """What the log keeps of prompts: `hash`, `full` (the text, and all that was sampled), or `none`."""
    guard: bool = True
    """Serve the best constant plan where routing is no better by the tenant's own log."""

    @model_validator(mode="after")
    def _one_objective(self) -> "TenantSettings":
        named = [name for name in ("value", "floor", "cap") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} contradict one another: a tenant has exactly one objective, so keep one and remove the rest")
        if self.window is not None and self.cap is None:
            raise ValueError("window is that of a cap: name a cap, or remove window")
        return self

    def tenant(self, name: str) -> Tenant:
        """As the router's noun."""
        knobs = {field: getattr(self, field) for field in Knobs.__dataclass_fields__}
        knobs |= {"value": _VALUE if self.value is None else self.value, "seconds": math.inf if self.seconds is None else self.seconds}
        window = _DAY if self.window is None else self.window
        objective = None if self.floor is None and self.cap is None else Objective(floor=self.floor, cap=self.cap, window=window)
        windows = (*self.windows, Window("cap", window, self.cap), Window("concurrency", 0, self.concurrency, Unit.OPEN))
        return Tenant(
            id=name,
            knobs=Knobs(**knobs),
            objective=objective,
            windows=tuple(one for one in windows if one.limit is not None or one.name == DAY.name),
            retention=self.retention,
            priority=self.priority,
            cache_scope=self.cache_scope,
            semantic_risk=self.semantic_risk,
        )
