"""One solution in the mode that the query's difficulty asks for: easy, normal or hard."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from typing import Any, Literal

import numpy as np

from router.ports import Tools
from router.types import Candidate, Fate, Query, Vector
from workers.parts.sampling import Sampling, remarked
from workers.parts.tracing import superseded
from workers.parts.vote import choose
from workers.strategies import strategies

Difficulty = Literal["easy", "normal", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "normal", "hard")


@dataclass(frozen=True, slots=True)
class Mode:
    """How a query of one difficulty is solved: at which temperature, with which share of the tokens, and what the model is told."""

    temperature: float
    share: float
    remark: str


MODES: Mapping[Difficulty, Mode] = {
    "easy": Mode(0.5, 0.4, "This is easy: answer directly, then verify the answer once."),
    "normal": Mode(0.8, 1.0, ""),
    "hard": Mode(0.4, 0.5, "This is hard: follow one promising approach, and give your best answer rather than go on for long."),
}


@strategies.register("difficulty_modes")
@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyModes(Sampling):
    """DiffAdapt (Liu et al. 2025, arXiv 2510.19669): the query's difficulty decides temperature and length, `MODES` shares of `max_tokens`.

    With `probe` it is read from the model's last hidden state after the query: {"weights", "bias"}, a row per difficulty (easy, normal, hard) and
    the largest output wins, or a list of such layers with a rectifier between them; the paper trains two. Without, `peeks` short samples are drawn
    at temperature 1 (`peek_skill`, `peek_tokens`): the share of the commonest answer among them stands for accuracy, minus their mean
    log-probability, which estimates it without bias, for the entropy of tokens; and `labelled` does the rest as the paper labels its training data,
    with `sure`, `calm` and `lost` for its alpha, beta and gamma. The thresholds and the words of the modes are ours, not the paper's.

    A mode is also told in words where the pool follows instructions (`words`). The best of the peeks stands as the answer until the solution has
    one; a solution that is cut off has none, as in the paper, which lets hard queries fail fast.
    """

    probe: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    peeks: int = 4
    peek_skill: str = "direct"
    peek_tokens: int = 32
    sure: float = 0.75
    calm: float = 0.3
    lost: float = 0.5
    words: bool = False

    def __post_init__(self) -> None:
        if min(self.peeks, self.peek_tokens, self.max_tokens) < 1 or not 0 <= self.lost <= self.sure <= 1:
            raise ValueError("difficulty_modes: counts must be at least 1, lost and sure within [0, 1], lost no more than sure")
        if (layers := _layers(self.probe)) and not _fitting(layers):
            raise ValueError("difficulty_modes: probe must hold layers of weights and bias that fit together, with three outputs")

    @property
    def needs(self) -> frozenset[str]:
        """The hidden state, or short samples and their log-probabilities."""
        if self.probe is not None:
            return frozenset({"hidden"})
        return frozenset({"logprobs"} | (set() if self.peek_skill == "solve" else {f"skill:{self.peek_skill}"}))

    @property
    def spends(self) -> str:
        """The look and the solution."""
        look = "1 reading of the query" if self.probe is not None else f"{self.peeks} samples of up to {self.peek_tokens} tokens"
        return f"{look}, 1 sample of up to {self.max_tokens} tokens"

    async def run(self, query: Query, tools: Tools) -> str:
        """Find out how hard it is, and solve it so; the difficulty is the reason for stopping."""
        if self.probe is not None:
            standing, difficulty = None, probed(await tools.hidden(query), _layers(self.probe))
        else:
            standing, difficulty = await self._peeked(query, tools)
        mode = MODES[difficulty]
        told = remarked(query, mode.remark) if self.words else query
        tokens = max(1, int(self.max_tokens * mode.share))
        superseded(tools, standing, await self.attempt(told, tools, temperature=mode.temperature, max_tokens=tokens))
        return difficulty

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer that stands."""
        return choose(candidates, "majority")

    async def _peeked(self, query: Query, tools: Tools) -> tuple[int | None, Difficulty]:
        """The place of the best of the peeks, the only one of them to keep its vote, and the difficulty."""
        asked = {"skill": self.peek_skill, "temperature": 1.0, "max_tokens": self.peek_tokens}
        places = await tools.together(self.attempt(query, tools, **asked) for _ in range(self.peeks))
        peeks = [tools.candidates[place] for place in places]
        best = choose(peeks, "majority")
        for place, one in zip(places, peeks, strict=True):
            if one.fate is Fate.KEPT and (best is None or place != places[best]):
                tools.discard(place)
        difficulty = labelled(agreement(peeks), -fsum(one.logprob for one in peeks) / len(peeks), sure=self.sure, calm=self.calm, lost=self.lost)
        return None if best is None else places[best], difficulty


def agreement(candidates: Sequence[Candidate]) -> float:
    """Share of the commonest answer; what could not be read agrees with nothing."""
    counts = Counter(one.answer for one in candidates if one.answer is not None)
    return max(counts.values(), default=0) / max(1, len(candidates))


def labelled(accuracy: float, entropy: float, *, sure: float, calm: float, lost: float) -> Difficulty:
    """The paper's labels: normal where the model is right and calm, hard where it is mostly wrong, else easy: right, but thinking too much."""
    if accuracy >= sure and entropy <= calm:
        return "normal"
    return "hard" if accuracy < lost else "easy"


def probed(state: Vector, layers: Sequence[Mapping[str, Any]]) -> Difficulty:
    """What a trained probe reads from a hidden state."""
    values = np.asarray(state, np.float64)
    for place, layer in enumerate(layers):
        values = np.asarray(layer["weights"], np.float64) @ (np.maximum(values, 0.0) if place else values) + np.asarray(layer["bias"], np.float64)
    return DIFFICULTIES[int(np.argmax(values))]


def _layers(probe: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> Sequence[Mapping[str, Any]]:
    if probe is None:
        return ()
    return (probe,) if isinstance(probe, Mapping) else probe


def _fitting(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether each layer's output is the next one's input, and the last has a value for each difficulty."""
    if any(set(layer) != {"weights", "bias"} for layer in layers):
        return False
    shapes = [(np.shape(layer["weights"]), np.shape(layer["bias"])) for layer in layers]
    whole = all(len(weights) == 2 and bias == weights[:1] for weights, bias in shapes)
    return whole and all(one[0][0] == two[0][1] for one, two in pairwise(shapes)) and shapes[-1][0][0] == len(DIFFICULTIES)
