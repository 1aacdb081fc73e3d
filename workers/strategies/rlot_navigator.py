"""A navigator that looks at a solution in the making, and chooses what is to be done next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import TOP, mark
from workers.parts.sampling import Sampling
from workers.parts.steps import Path, Stepping, twice
from workers.parts.vote import choose, votes
from workers.strategies import strategies
from workers.strategies.sequential_refinement import AGAIN

ACTIONS = ("reason", "decompose", "debate", "refine", "terminate")
ITEMS = 7  # of the self-assessment


@dataclass(slots=True)
class _State:
    """Where the solution stands."""

    path: Path
    place: int | None = None  # of a finished solution among the candidates
    taken: int = 0
    subquestions: int = 0
    last: str = ""


@strategies.register("rlot_navigator")
@dataclass(frozen=True, slots=True, kw_only=True)
class RlotNavigator(Stepping):
    """RLoT (Hao et al. 2025, arXiv 2505.14140, section 3): at each step a small network chooses one of five logic blocks from seven ratings.

    reason (one more step), decompose (list sub-questions), debate (other solutions, the better marked one is taken), refine (write it again) and
    terminate. The rules of the paper are kept: with an answer in hand only refine and terminate are open, terminate only then; there is nothing to
    refine before the first step; after `most` blocks the solution is written to its end.

    The ratings, 1 to 3 each, come from the mark that the model gives to what stands there (skill "score"): correctness and consistency; and from
    what is known without it: progress, difficulty (sub-questions), length, an answer in hand, novelty. The paper's model rates all seven in words.
    `network` holds the weights of a dueling network (`hidden` of 7 rows, `value` and `advantage`, each with its `_bias`); without it a rule of ours
    decides: reason while the mark is good, refine when it falls, debate when refining did not help.
    """

    most: int = 12
    debaters: int = 2
    network: Mapping[str, Any] | None = None
    refine_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.possible or min(self.most, self.debaters, self.refine_tokens) < 1:
            raise ValueError("rlot_navigator: counts must be at least 1")
        if self.network is not None:
            values(self.network, np.ones(ITEMS))

    @property
    def needs(self) -> frozenset[str]:
        """To step, to mark, and what the blocks are made of."""
        return frozenset({"prefix", "stop", "skill:score", "skill:refine", "skill:split"})

    @property
    def spends(self) -> str:
        """Blocks, each marked."""
        return f"up to {self.most} blocks of 1 to {self.debaters} samples, each marked in one token"

    async def run(self, query: Query, tools: Tools) -> str:
        """Mark, choose, do; until it terminates."""
        state, marked = _State(Path()), TOP
        for _ in range(self.most):
            action = self._chosen(state, marked)
            if action == "terminate":
                return "terminated"
            await twice(self._do, query, tools, action, state)
            state.taken, state.last = state.taken + 1, action
            text = self._text(tools, state)
            found = await twice(mark, query, tools, text) if text else None
            marked = TOP if found is None else found
            if state.place is not None and votes(tools.candidates[state.place]):
                tools.rate(state.place, marked / TOP)
        if state.place is None:
            await self._to_the_end(query, tools, state)
        return "blocks"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best marked."""
        return choose(candidates, "best")

    def _chosen(self, state: _State, marked: int) -> str:
        """The best of the actions that the rules leave open."""
        ranked = self._ranked(self._ratings(state, marked), state, marked)
        return max(allowed(state.place is not None, state.taken), key=lambda action: ranked[action])

    def _ratings(self, state: _State, marked: int) -> NDArray[np.float64]:
        """The seven items, 1 to 3."""
        steps = len(state.path.samples)
        items = (marked / TOP, float(marked == TOP), steps / self.max_steps, min(1.0, state.subquestions / 6), state.taken / self.most)
        return 1 + 2 * np.array((*items, float(state.place is not None), float(state.last not in ("refine", "debate"))))

    def _ranked(self, ratings: NDArray[np.float64], state: _State, marked: int) -> dict[str, float]:
        if self.network is not None:
            return dict(zip(ACTIONS, values(self.network, ratings).tolist(), strict=True))
        good = marked >= TOP - 2
        return {
            "terminate": 2.0 if good else 0.5,
            "reason": 1.5 if good else 0.4,
            "refine": 1.0 if not good and state.last != "refine" else 0.2,
            "debate": 0.9 if not good and state.last == "refine" else 0.1,
            "decompose": 0.3 if state.last != "decompose" else 0.0,
        }

    async def _do(self, query: Query, tools: Tools, action: str, state: _State) -> None:
        match action:
            case "reason":
                self._take(state, await self.step(query, tools, state.path))
            case "decompose":
                said = await tools.sample(query, skill="split", temperature=0.0, max_tokens=self.refine_tokens)
                tools.use(said)
                state.subquestions = len(said.text.splitlines())
            case "debate":
                await self._debate(query, tools, state)
            case _:
                text = self._text(tools, state)
                state.place = await self._whole.attempt(query, tools, skill="refine", texts=(text, AGAIN))

    async def _debate(self, query: Query, tools: Tools, state: _State) -> None:
        """Other solutions from scratch; the best marked of them goes on."""
        places = await tools.together(self._whole.attempt(query, tools) for _ in range(self.debaters))

        async def marked(place: int) -> tuple[int, int]:
            return await mark(query, tools, tools.candidates[place].text) or 0, -place

        state.place = -max(await tools.together(marked(place) for place in places))[1]

    async def _to_the_end(self, query: Query, tools: Tools, state: _State) -> None:
        last = await tools.sample(query, prefix=state.path.text, skill=self.skill, temperature=self.temperature, max_tokens=self.last_tokens)
        tools.keep(query, (*state.path.samples, last))

    def _take(self, state: _State, longer: Path) -> None:
        """A step that was cut off is not one."""
        if not longer.truncated:
            state.path, state.place = longer, longer.place

    def _text(self, tools: Tools, state: _State) -> str:
        return state.path.text if state.place is None else tools.candidates[state.place].text

    @property
    def _whole(self) -> Sampling:
        return Sampling(skill=self.skill, temperature=self.temperature, max_tokens=self.refine_tokens)


def allowed(answered: bool, taken: int) -> tuple[str, ...]:
    """The actions that the rules leave open."""
    if answered:
        return ("refine", "terminate")
    return ("reason", "decompose", "debate") + (("refine",) if taken else ())


def values(network: Mapping[str, Any], ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Q of each action under a dueling network (Wang et al. 2016, arXiv 1511.06581, eq. 9); ValueError when its shapes do not fit."""
    try:
        weights = {name: np.asarray(network[name], float) for name in ("hidden", "hidden_bias", "value", "value_bias", "advantage", "advantage_bias")}
        hidden = np.maximum(0.0, ratings @ weights["hidden"] + weights["hidden_bias"])
        advantage = hidden @ weights["advantage"] + weights["advantage_bias"]
        out: NDArray[np.float64] = hidden @ weights["value"] + weights["value_bias"] + advantage - advantage.mean()
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"rlot_navigator: the network does not fit: {error}") from error
    if out.shape != (len(ACTIONS),):
        raise ValueError(f"rlot_navigator: the network has {out.shape} values for {len(ACTIONS)} actions")
    return out
