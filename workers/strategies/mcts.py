"""Monte Carlo tree search over steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, fsum, log, sqrt
from typing import Literal, get_args

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.steps import Path, Stepping, concluded, different, extended, valued
from workers.parts.vote import choose
from workers.strategies import strategies

Bonus = Literal["puct", "uct"]
Final = Literal["visits", "vote"]


@dataclass(slots=True, kw_only=True)
class Node:
    """A place in a tree: the verifier's value of it, the prior of coming to it, and what came of visiting it."""

    parent: int = -1
    prior: float = 1.0
    value: float = 0.0
    closed: bool = False  # nothing can follow it
    visits: int = 0
    total: float = 0.0
    children: list[int] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """The mean of what was found at it and below; its own value until it is visited."""
        return self.total / self.visits if self.visits else self.value


@dataclass(slots=True, kw_only=True)
class Tree:
    """The state of a search: nodes by number, the root first. Plain data, so that a search can be written down and gone on with."""

    nodes: list[Node] = field(default_factory=lambda: [Node()])

    def select(self, bonus: Callable[[Node, Node], float]) -> int:
        """The leaf to visit: from the root down, always the child of the highest mean and bonus; of equals the less visited, then the older."""
        at = 0
        while children := self.nodes[at].children:
            parent = self.nodes[at]
            at = max(children, key=lambda child: (self.nodes[child].mean + bonus(parent, self.nodes[child]), -self.nodes[child].visits, -child))
        return at

    def favourite(self) -> int:
        """The leaf at the end of the most visited children; of equals the one of the higher mean."""
        at = 0
        while children := self.nodes[at].children:
            at = max(children, key=lambda child: (self.nodes[child].visits, self.nodes[child].mean, -child))
        return at

    def expand(self, leaf: int, children: Sequence[Node]) -> None:
        """Give a leaf its children; without any it is closed, and worth nothing."""
        node = self.nodes[leaf]
        node.children = list(range(len(self.nodes), len(self.nodes) + len(children)))
        self.nodes += children
        if not children:
            node.closed, node.value = True, 0.0

    def back_up(self, leaf: int) -> None:
        """Count a visit of a leaf, with its value, all the way to the root."""
        at, value = leaf, self.nodes[leaf].value
        while at >= 0:
            self.nodes[at].visits += 1
            self.nodes[at].total += value
            at = self.nodes[at].parent


@strategies.register("mcts")
@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch(Stepping):
    """MCTS guided by a process reward model: no rollouts, a leaf is worth what the verifier says of it.

    `bonus` "puct" is AlphaZero's as in OpenR (Wang et al. 2024, arXiv 2410.09671), whose prior is the share of exp(mean log-probability) among
    siblings; "uct" is that of RAP (Hao et al. 2023, arXiv 2305.14992), without a prior. `explore` scales it, 0 is greedy. Each of `simulations`
    visits one leaf and, unless nothing can follow it, expands it by `children` steps; a leaf is not expanded before it is visited. `final`
    "visits" gives the most visited finished path (the values break ties), "vote" the answer of the largest summed value. Where none was finished,
    the most visited beginning is written to the end at once. Equal steps of a node are one child.
    """

    simulations: int = 16
    children: int = 4
    bonus: Bonus = "puct"
    explore: float = 1.0
    final: Final = "visits"

    def __post_init__(self) -> None:
        known = self.bonus in get_args(Bonus) and self.final in get_args(Final)
        if min(self.simulations, self.children) < 1 or self.explore < 0 or not (self.possible and known):
            raise ValueError("mcts: counts must be at least 1, explore at least 0, bonus puct or uct, final visits or vote")

    @property
    def needs(self) -> frozenset[str]:
        """Log-probabilities, for the prior."""
        return frozenset({"prefix", "stop", "score", "steps"}) | ({"logprobs"} if self.bonus == "puct" else frozenset())

    @property
    def spends(self) -> str:
        """Simulations."""
        return f"up to {(1 + self.simulations) * self.children} steps, as many prefixes scored, {self.children} at a time"

    async def run(self, query: Query, tools: Tools) -> str:
        """Expand the root, then visit one leaf after another."""
        tree, paths = Tree(), [Path()]
        await self._expand(query, tools, tree, paths, 0)
        for _ in range(self.simulations if tree.nodes[0].children else 0):
            leaf = tree.select(self._bonus)
            if not tree.nodes[leaf].closed:
                await self._expand(query, tools, tree, paths, leaf)
            tree.back_up(leaf)
            self._rate(tools, tree, paths)
        if tree.nodes[0].children and not tools.candidates[tools.earlier :]:
            await concluded(self, query, tools, paths[tree.favourite()])
        return "done" if tools.candidates[tools.earlier :] else "dead_end"

    async def _expand(self, query: Query, tools: Tools, tree: Tree, paths: list[Path], leaf: int) -> None:
        longer = await valued(query, tools, await extended(self, query, tools, [paths[leaf]] * self.children))
        new = different(longer)
        for path in longer:
            if path.place is not None and path not in new:
                tools.discard(path.place)  # one node, one vote
        nodes = [Node(parent=leaf, prior=prior, value=path.value, closed=path.finished) for path, prior in zip(new, priors(new), strict=True)]
        tree.expand(leaf, nodes)
        paths += new
        self._rate(tools, tree, paths)

    def _bonus(self, parent: Node, child: Node) -> float:
        return self.explore * _BONUSES[self.bonus](parent, child)

    def _rate(self, tools: Tools, tree: Tree, paths: Sequence[Path]) -> None:
        """Rate finished paths by visits, so that a search that is cut short still answers as it would."""
        for node, path in zip(tree.nodes, paths, strict=True):
            if self.final == "visits" and path.place is not None:
                tools.rate(path.place, (node.visits + node.value) / (self.simulations + 1))

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The most visited finished path, or the answer that most of the value is for."""
        return choose(candidates, "best" if self.final == "visits" else "weighted")


def priors(siblings: Sequence[Path]) -> list[float]:
    """Each one's share of the probability per token of its last step; all the same where the backend does not tell."""
    last = [path.samples[-1].logprobs for path in siblings]
    weights = [exp(fsum(logprobs) / len(logprobs)) if logprobs else 1.0 for logprobs in last]
    return [weight / fsum(weights) for weight in weights]


def puct(parent: Node, child: Node, *, base: float = 19652, start: float = 1.25) -> float:
    """AlphaZero's bonus (Silver et al. 2018, pseudocode), with its constants."""
    return child.prior * (log((parent.visits + base + 1) / base) + start) * sqrt(parent.visits) / (1 + child.visits)


def uct(parent: Node, child: Node) -> float:
    """UCT's bonus (Kocsis and Szepesvari 2006), where a child that was never visited counts as visited once."""
    return sqrt(log(max(1, parent.visits)) / max(1, child.visits))


_BONUSES: Mapping[Bonus, Callable[[Node, Node], float]] = {"puct": puct, "uct": uct}
