"""Thompson sampling on features that a small network has learned (`network` has the paper), where errors are no straight lines in the context."""

from dataclasses import dataclass
from typing import Self

from policies import policies
from policies.posterior import Posterior
from policies.thompson import Thompson


@policies.register("neural_linear")
@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralLinear(Thompson):
    """Until there are outcomes enough for a network, and of plans it has seen none of, it does what `thompson` does."""

    @property
    def version(self) -> str:
        """After which outcomes."""
        return f"neural-linear-{self.learned}"

    def after(self, posterior: Posterior) -> Self:
        """The same policy with more experience."""
        return Thompson.after(self, posterior.deep or posterior)
