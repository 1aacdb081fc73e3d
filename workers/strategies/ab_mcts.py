"""Search over whole solutions that may grow wider or deeper at every node: solve anew, or refine what is there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from typing import ClassVar, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling, missing, score_once
from workers.parts.vote import JUDGED, Rule, choose, votes
from workers.strategies import strategies

Model = Literal["gaussian", "beta", "mixed"]


class Posterior(Protocol):
    """What is believed of a mean score."""

    def told(self, score: float) -> Self:
        """After one more score."""

    def draw(self, rng: np.random.Generator) -> float:
        """A mean that may be the true one."""


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal-inverse-chi-squared: mean, its weight, degrees of freedom and spread; to begin with the authors' prior."""

    mean: float = 0.0
    weight: float = 1.0
    freedom: float = 1.0
    spread: float = 0.1

    def told(self, score: float) -> "Gaussian":
        """See `Posterior.told`."""
        weight, freedom = self.weight + 1, self.freedom + 1
        spread = (self.freedom * self.spread + self.weight / weight * (score - self.mean) ** 2) / freedom
        return Gaussian((self.weight * self.mean + score) / weight, weight, freedom, spread)

    def draw(self, rng: np.random.Generator) -> float:
        """See `Posterior.draw`."""
        variance = self.freedom * self.spread / rng.chisquare(self.freedom)
        return float(rng.normal(self.mean, np.sqrt(variance / self.weight)))


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta, a score counting as that part of a success; to begin with Jeffreys' prior."""

    a: float = 0.5
    b: float = 0.5

    def told(self, score: float) -> "Beta":
        """See `Posterior.told`."""
        return Beta(self.a + score, self.b + 1 - score)

    def draw(self, rng: np.random.Generator) -> float:
        """See `Posterior.draw`."""
        return float(rng.beta(self.a, self.b))


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A node: one solution and its score, and what is believed of going on below it. The root is none, only where solving anew begins."""

    parent: int = -1
    score: float = 0.0
    own: Posterior = Gaussian()  # of itself and all below it
    new: Posterior = Gaussian()  # GEN: of the children made from it
    old: Posterior = Gaussian()  # CONT: of all below those
    children: list[int] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Attempts:
    """The state of a search: nodes by number, the root first. Plain data; ask as often as you like before telling, in any order."""

    prior: Posterior
    nodes: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = self.nodes or [self._node(-1, 0.0)]

    def ask(self, rng: np.random.Generator) -> int:
        """The node to make another child of: Thompson sampling from the root down (AB-MCTS-A, section 3.3)."""
        at = 0
        while self.nodes[at].children:
            node = self.nodes[at]
            if node.new.draw(rng) >= node.old.draw(rng):
                return at
            drawn = {child: self.nodes[child].own.draw(rng) for child in node.children}
            at = max(drawn, key=drawn.__getitem__)
        return at

    def ask_mixed(self, rng: np.random.Generator) -> int:
        """The same under the mixed model (AB-MCTS-M, section 3.2): the scores below each child are a group, a new child would be a new one."""
        at = 0
        while children := self.nodes[at].children:
            groups = [self.below(child) for child in children]
            drawn, new = predicted(groups, rng)
            open_ones = {child: score for child, score, group in zip(children, drawn, groups, strict=True) if not settled(group)}
            if not open_ones or new >= max(open_ones.values()):
                return at
            at = max(open_ones, key=open_ones.__getitem__)
        return at

    def tell(self, parent: int, score: float) -> int:
        """Add the child that was made, with its score, which goes up to the root; its number."""
        self.nodes.append(self._node(parent, score, own=self.prior.told(score)))
        self.nodes[parent].children.append(len(self.nodes) - 1)
        self.nodes[parent].new = self.nodes[parent].new.told(score)
        at = parent
        while at:
            node = self.nodes[at]
            node.own = node.own.told(score)
            at = node.parent
            self.nodes[at].old = self.nodes[at].old.told(score)
        return len(self.nodes) - 1

    def below(self, at: int) -> list[float]:
        """The scores of a node and of all below it."""
        return [self.nodes[at].score, *(score for child in self.nodes[at].children for score in self.below(child))]

    def _node(self, parent: int, score: float, own: Posterior | None = None) -> Attempt:
        return Attempt(parent=parent, score=score, own=own or self.prior, new=self.prior, old=self.prior)


@strategies.register("ab_mcts")
@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveBranching(Sampling):
    """Adaptive branching MCTS, AB-MCTS (Inoue et al. 2025, arXiv 2503.04412), over whole solutions scored by the verifier.

    At every node Thompson sampling chooses between making a new child and going on below an old one. A child of the root is a solution of its own,
    any other refines its parent, told its score. `n` solutions, those of earlier stages counted, `batch` of them asked for at a time. `model`
    "gaussian" or "beta" is AB-MCTS-A with that posterior of each choice; "mixed" is AB-MCTS-M, one mixed-effects model per node:
    score ~ N(alpha of its child, s_y), alpha ~ N(mu, s_a), mu ~ N(0.5, 0.2), s_a ~ half-normal(0.2), s_y ~ half-normal(0.3). The authors sample it
    by NUTS; here s_a and s_y are drawn from their exact joint posterior on a grid, with mu and all alphas integrated out, and these then from
    theirs, which are normal. A child below which at least 4 scores stand and 3 in 4 are equal is not gone on with; then the best choice that is
    left is taken, a new child among them, where the authors' code passes over that. What has no answer scores 0 and is not judged.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score", "skill:refine"})
    n: int = 16
    batch: int = 4
    model: Model = "gaussian"
    select: Rule = "best"

    def __post_init__(self) -> None:
        if min(self.n, self.batch) < 1 or self.model not in get_args(Model) or self.select not in JUDGED:
            raise ValueError("ab_mcts: n and batch must be at least 1, model gaussian, beta or mixed, select best or weighted")

    @property
    def spends(self) -> str:
        """All of them."""
        return f"{self.n} samples, as many texts scored, {self.batch} at a time"

    async def run(self, query: Query, tools: Tools) -> str:
        """Ask where to make children, make them, and tell their scores."""
        await score_once(query, tools)
        tree, places = Attempts(prior=_PRIORS[self.model]), [-1]
        for place, one in enumerate(tools.candidates):
            if votes(one):
                self._tell(tools, tree, places, 0, place)
        wanted = missing(tools, self.n)
        for made in range(0, wanted, self.batch):
            parents = [self._ask(tree, tools) for _ in range(min(self.batch, wanted - made))]
            children = await tools.together(self._made(query, tools, parent, places[parent]) for parent in parents)
            await score_once(query, tools)
            for parent, place in children:
                self._tell(tools, tree, places, parent, place)
        return "done"

    def _ask(self, tree: Attempts, tools: Tools) -> int:
        return tree.ask_mixed(tools.rng) if self.model == "mixed" else tree.ask(tools.rng)

    def _tell(self, tools: Tools, tree: Attempts, places: list[int], parent: int, place: int) -> None:
        one = tools.candidates[place]
        tree.tell(parent, one.score or 0.0 if votes(one) else 0.0)
        places.append(place)

    async def _made(self, query: Query, tools: Tools, parent: int, place: int) -> tuple[int, int]:
        """A parent, and the place of the child made from it."""
        if not parent:
            return parent, await self.attempt(query, tools)
        draft = tools.candidates[place]
        return parent, await self.attempt(query, tools, skill="refine", texts=(draft.text, feedback(draft.score or 0.0)))

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)


_PRIORS: Mapping[Model, Posterior] = {"gaussian": Gaussian(), "beta": Beta(), "mixed": Gaussian()}


def feedback(score: float) -> str:
    """A score in words, ending as a check ends."""
    return f"Score: {score:.2f}\nVerdict: {'Yes' if score >= 0.5 else 'No'}"


def settled(scores: Sequence[float], *, least: int = 4, share: float = 0.75) -> bool:
    """Whether so many scores, of at least so many, are equal to the hundredth that no more is to be learned."""
    commonest = max(Counter(round(score * 100) for score in scores).values())
    return len(scores) >= least and commonest / len(scores) >= share


def predicted(groups: Sequence[Sequence[float]], rng: np.random.Generator) -> tuple[list[float], float]:
    """One draw from the posterior predictive distribution of a score in each group, and of one in a new group, all under the same parameters."""
    sizes = np.array([len(group) for group in groups], np.float64)
    means = np.array([np.mean(group) for group in groups])
    around = sum(float(np.square(np.subtract(group, mean)).sum()) for group, mean in zip(groups, means, strict=True))
    log_weights, centres, widths = spreads(sizes, means, around)
    weights = np.exp(log_weights - log_weights.max())
    place = int(rng.choice(len(weights), p=weights / weights.sum()))
    between, within = (values[place] for values in grid())
    mu = rng.normal(centres[place], widths[place])
    precision = sizes / within**2 + 1 / between**2
    alphas = rng.normal((sizes * means / within**2 + mu / between**2) / precision, precision**-0.5)
    new = rng.normal(rng.normal(mu, between), within)
    return [float(score) for score in rng.normal(alphas, within)], float(new)


@cache
def grid(points: int = 32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard deviations between and within groups, each pair of their half-normal priors' quantiles once: all are as likely beforehand."""
    quantiles = np.array([NormalDist().inv_cdf(0.5 + (place + 0.5) / points / 2) for place in range(points)])
    between, within = np.meshgrid(0.2 * quantiles, 0.3 * quantiles)
    return between.ravel(), within.ravel()


def spreads(
    sizes: NDArray[np.float64], means: NDArray[np.float64], around: float, *, centre: float = 0.5, width: float = 0.2
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each pair of the grid: the log of its likelihood up to a constant, and mean and standard deviation of mu given it.

    `around` is the sum of squares within the groups. With mu ~ N(centre, width), the mean of a group of k has variance s_a^2 + s_y^2 / k around mu.
    """
    between, within = (values[:, None] for values in grid())
    variances = between**2 + within**2 / sizes
    precisions = (1 / variances).sum(1) + width**-2
    centres = ((means / variances).sum(1) + centre * width**-2) / precisions
    inside = -(sizes - 1).sum() * np.log(within[:, 0]) - around / (2 * within[:, 0] ** 2)
    outside = -0.5 * (np.log(variances).sum(1) + (means**2 / variances).sum(1) + np.log(precisions) - precisions * centres**2)
    return inside + outside, centres, precisions**-0.5
