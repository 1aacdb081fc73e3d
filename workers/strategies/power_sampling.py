"""Sampling from a sharper distribution than any temperature gives: that of whole solutions, to a power."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum, log
from typing import ClassVar, Literal, get_args

import numpy as np

from router.errors import BackendUnavailable
from router.ports import Tools
from router.types import Candidate, Finish, Query, Sample
from workers.parts.steps import twice
from workers.parts.vote import choose
from workers.strategies import strategies

Cut = Literal["token", "step"]


@dataclass(frozen=True, slots=True)
class State:
    """A solution, token by token; its text is not their texts where a letter is made of several."""

    tokens: tuple[Sample, ...] = ()
    text: str = ""

    def beginning(self, place: int) -> str:
        """The text of its first tokens."""
        return "".join(token.text for token in self.tokens[:place])

    def own(self, place: int) -> float:
        """Log-probability, under the model, of what follows a place."""
        return fsum(token.logprobs[0] for token in self.tokens[place:])

    def drawn(self, place: int) -> float:
        """The same under the distribution it was drawn from."""
        return fsum(token.drawn_logprobs[0] for token in self.tokens[place:])


@strategies.register("power_sampling")
@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSampling:
    """Samples of p^`alpha`, with p the model's probability of a whole solution, by Metropolis-Hastings (Karan and Du 2025, arXiv 2510.14901).

    A chain begins with a sample at temperature 1 / alpha. Each of `moves` draws a place in it evenly and proposes the same with all from there on
    written anew, at that temperature and to its full length; it is accepted with probability min(1, [p(y) / p(x)]^alpha q(x) / q(y) |x| / |y|),
    where q is what was drawn from and |x| how many places there are to choose among. The authors' code grows the solution in blocks, never lets it
    become longer than it is, compares a shorter proposal with a part of the old solution, and leaves out |x| / |y|: its samples are not those of
    p^alpha. `cut` "step" allows only places where a step begins, where a prefix is read in the tokens it was written in; at "token", any, a model
    may read it in others, and the distribution is then a near one. With `alpha` 1 every proposal of equal length is accepted.

    `chains` run side by side, each with a random stream of its own. After each, the state after `burn` moves (None: all) has a vote, and so has
    that after each further move, also where the chain stays as it is. A state that cannot be read takes no other's vote.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pieces", "prefix", "logprobs"})
    alpha: float = 4.0
    moves: int = 10
    chains: int = 1
    burn: int | None = None
    cut: Cut = "token"
    skill: str = "solve"
    max_tokens: int = 256

    def __post_init__(self) -> None:
        counted = min(self.chains, self.max_tokens) >= 1 and self.moves >= 0 and (self.burn is None or self.burn >= 0)
        if not counted or self.alpha < 1 or self.cut not in get_args(Cut):
            raise ValueError("power_sampling: alpha and counts must be at least 1, moves and burn at least 0, cut token or step")

    @property
    def spends(self) -> str:
        """Moves by chains."""
        return f"{self.chains} samples, and {self.moves} times {self.chains} rewritten from somewhere on"

    async def run(self, query: Query, tools: Tools) -> str:
        """Run all chains."""
        await tools.together(self._chain(query, tools, rng) for rng in tools.rng.spawn(self.chains))
        return "done"

    async def _chain(self, query: Query, tools: Tools, rng: np.random.Generator) -> None:
        state = written(State(), 0, await twice(self._sampled, query, tools, rng, "", self.max_tokens))
        place = tools.keep(query, state.tokens, text=state.text)
        for move in range(1, self.moves + 1):
            proposal = await self._proposed(query, tools, rng, state)
            state = proposal or state
            if move > (self.moves if self.burn is None else self.burn):
                tools.keep(query, state.tokens, text=state.text)
            elif proposal and tools.candidates[new := tools.keep(query, state.tokens, text=state.text)].answer is not None:
                tools.discard(place)
                place = new

    async def _proposed(self, query: Query, tools: Tools, rng: np.random.Generator, state: State) -> State | None:
        """The next state, if it is another."""
        places = self._places(state, tools)
        place = places[int(rng.integers(len(places)))]
        try:
            sample = await self._sampled(query, tools, rng, state.beginning(place), self.max_tokens - place)
        except BackendUnavailable:
            return None
        proposal = written(state, place, sample)
        if sample.finish is Finish.LENGTH and len(proposal.tokens) < self.max_tokens:
            return None  # the budget cut it, so that what it might have been is not known
        ratio = log_ratio(state, proposal, place, self.alpha) + log(len(places)) - log(len(self._places(proposal, tools)))
        return proposal if log(1 - rng.random()) < ratio else None

    async def _sampled(self, query: Query, tools: Tools, rng: np.random.Generator, prefix: str, tokens: int) -> Sample:
        seed, heat = int(rng.integers(2**31)), 1 / self.alpha
        return await tools.sample(query, prefix=prefix, skill=self.skill, temperature=heat, max_tokens=tokens, pieces=True, seed=seed)

    def _places(self, state: State, tools: Tools) -> list[int]:
        """Where it may be cut. Whether a place is one depends on what is before it alone, so both ways of a move have the same places there."""
        found, text = [0], ""
        for place, token in enumerate(state.tokens[:-1], 1):
            text += token.text
            if "\ufffd" in token.text:  # part of a letter: no text begins like this any more
                break
            if self.cut == "token" or text.endswith(tools.style.step):
                found.append(place)
        return found

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")


def written(old: State, place: int, sample: Sample) -> State:
    """The state with all from a place on written anew. The tokens before it stay the same ones, so that each is paid for once."""
    rows = zip(sample.pieces, sample.logprobs, sample.drawn_logprobs, strict=True)
    tokens = [
        Sample(text=piece, prompt_tokens=0, completion_tokens=1, finish=Finish.STOP, logprobs=(own,), drawn_logprobs=(drawn,))
        for piece, own, drawn in rows
    ]
    tokens[-1] = replace(tokens[-1], finish=sample.finish)
    if not place:
        tokens[0] = replace(tokens[0], prompt_tokens=sample.prompt_tokens)
    return State((*old.tokens[:place], *tokens), old.beginning(place) + sample.text)


def log_ratio(old: State, new: State, place: int, alpha: float) -> float:
    """Natural log of [p(new) / p(old)]^alpha q(old) / q(new), for what follows a place."""
    return alpha * (new.own(place) - old.own(place)) + old.drawn(place) - new.drawn(place)
