"""What the policies that learn online have in common: experience, by which forecasts are corrected before they are weighed."""

from copy import copy
from dataclasses import dataclass, field
from typing import Self

from policies.menu import Menu
from policies.posterior import Corrected, Posterior, correct
from router.types import Evidence, Knobs, Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """Without a posterior, or with one of another predictor's errors, it does what the forecasts say, as unsure of them as they are themselves."""

    posterior: Posterior | None = field(default=None, init=False, repr=False)

    def after(self, posterior: Posterior) -> Self:
        """The same policy with more experience."""
        made = copy(self)
        object.__setattr__(made, "posterior", posterior)
        return made

    @property
    def learned(self) -> str:
        """The version of what was learned."""
        return self.posterior.version if self.posterior else "new"

    def menu(self, prediction: Prediction, evidence: Evidence, knobs: Knobs) -> tuple[Corrected, Menu]:
        """The forecasts as corrected, and what is open then."""
        seen = correct(self.posterior, prediction)
        return seen, Menu.of(prediction, evidence, knobs, seen.success, seen.cost)
