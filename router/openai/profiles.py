"""Profiles: knobs under a name, which a caller asks for as a model."""

from pydantic import Field

from router.section import Section

OWN = "rheostat"
"""The model that is the tenant's knobs as they are."""


class KnobSettings(Section):
    """Some of the knobs; one that is left out is as the tenant has it."""

    value: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Micro-dollars one right answer is worth; refused where the tenant has a floor or a cap, from which it is learned."""
    abstain_below: float | None = Field(None, ge=0, le=1)
    """The answer is withheld when its probability of being right is lower than this."""
    risk: float | None = Field(None, ge=0, le=1)
    """Share of the answers given that may be wrong; 1 promises nothing."""
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Within which an answer is wanted; plans that are not expected to be done in time are not bought."""
    exploration: float | None = Field(None, ge=0, le=1)
    """Share of decisions drawn uniformly, so that the log can teach."""
    max_stages: int | None = Field(None, ge=1, le=8)
    """How many plans may be bought, at most."""
    plans: tuple[str, ...] = Field((), max_length=64)
    """Ids of the plans that may be bought; none: those of the tenant."""
    policy: str | None = Field(None, max_length=64)
    """Name of a configured policy."""
    cache: bool | None = None
    """Whether an answer that was paid for before may be given again."""

    def stated(self) -> dict[str, object]:
        """Those that are not left out, by name."""
        named = {name: getattr(self, name) for name in KnobSettings.model_fields}
        return {name: one for name, one in named.items() if one not in (None, ())}


def usual_profiles() -> dict[str, KnobSettings]:
    """One purchase at most, and a cheap one; and whatever it takes."""
    return {"rheostat-fast": KnobSettings(value=1_000, max_stages=1), "rheostat-best": KnobSettings(value=1_000_000, max_stages=8)}
