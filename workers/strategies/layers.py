"""Layers of components, as they stand in the settings: generate, criticise, rank, fuse, verify, test."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import TOP, chosen, mark, verdict
from workers.parts.layers import Component, Design, calls, design, ranking
from workers.parts.sampling import Sampling
from workers.parts.vote import choose, votes
from workers.strategies import strategies

_DEFAULT: Sequence[Sequence[Mapping[str, Mapping[str, object]]]] = (
    ({"generate": {"n": 6}},),
    ({"critique": {}},),
    ({"rank": {"top": 4}},),
    ({"fuse": {"n": 2}},),
    ({"verify": {}},),
)
_SKILLS: Mapping[str, frozenset[str]] = {
    "generate": frozenset(),
    "critique": frozenset({"skill:verify"}),
    "rank": frozenset({"skill:score"}),
    "fuse": frozenset({"skill:summarise"}),
    "verify": frozenset({"skill:verify"}),
    "tests": frozenset({"skill:tests", "skill:passes"}),
}


@dataclass(slots=True)
class _State:
    """What goes from layer to layer: places of the drafts among the candidates, and what was said of each."""

    drafts: list[int] = field(default_factory=list)
    critiques: dict[int, str] = field(default_factory=dict)


@strategies.register("layers")
@dataclass(frozen=True, slots=True, kw_only=True)
class Layers(Sampling):
    """Archon (Saad-Falcon et al. 2024, arXiv 2409.15254, section 3): `layers` is a list of layers of components, see `workers.parts.layers`.

    generate (`n`), critique (the model's check of each draft), rank (keep the `top`: `by` "score" each is marked from 0 to 9, `by` "rank" all are
    put in order in one call), fuse (`n` new drafts out of up to `shown`, with their critiques), verify (drop what the check holds to be wrong,
    unless that is everything), tests (`n` tests by the model, drafts ranked by how many they are said to pass).

    Components of one layer run side by side. Where several drafts are left at the end, the best-scored, else the majority, is given; the authors
    draw one by lot. `workers.parts.layers.searched` looks for a good design under a call budget.
    """

    layers: Sequence[Sequence[Mapping[str, Any]]] = _DEFAULT

    def __post_init__(self) -> None:
        self._design()

    @property
    def needs(self) -> frozenset[str]:
        """What the components need."""
        parts = [one for layer in self._design() for one in layer]
        by_rank = {"skill:rank" for one in parts if one.options.get("by") == "rank"}
        return frozenset(name for one in parts if one.options.get("by") != "rank" for name in _SKILLS[one.kind]) | by_rank

    @property
    def spends(self) -> str:
        """By the call-count formula."""
        return f"up to {calls(self._design())} samples"

    async def run(self, query: Query, tools: Tools) -> str:
        """Layer by layer."""
        state = _State()
        for layer in self._design():
            await tools.together(self._component(query, tools, one, state) for one in layer)
        return "done" if len(state.drafts) == 1 else f"{len(state.drafts)} drafts left"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored of what is left, else the majority."""
        return choose(candidates, "best")

    def _design(self) -> Design:
        return design(self.layers)

    async def _component(self, query: Query, tools: Tools, one: Component, state: _State) -> None:
        match one.kind:
            case "generate":
                await self._generate(query, tools, one.options, state)
            case "critique":
                await tools.together(self._criticise(query, tools, place, state) for place in state.drafts)
            case "rank":
                await self._rank(query, tools, one.options, state)
            case "fuse":
                await self._fuse(query, tools, one.options, state)
            case "verify":
                await self._verify(query, tools, state)
            case "tests":
                await self._test(query, tools, int(one.options["n"]), state)

    async def _generate(self, query: Query, tools: Tools, options: Mapping[str, Any], state: _State) -> None:
        drawn = (self.attempt(query, tools, temperature=options["temperature"], skill=options["skill"]) for _ in range(options["n"]))
        state.drafts += [place for place in await tools.together(drawn) if votes(tools.candidates[place])]

    async def _criticise(self, query: Query, tools: Tools, place: int, state: _State) -> None:
        found = await verdict(query, tools, tools.candidates[place].text)
        if found is not None:
            state.critiques[place] = found.check

    async def _rank(self, query: Query, tools: Tools, options: Mapping[str, Any], state: _State) -> None:
        if len(state.drafts) < 2:
            return
        texts = [tools.candidates[place].text for place in state.drafts]
        if options["by"] == "rank":
            said = await self.draw(query, tools, skill="rank", texts=texts, temperature=0.0)
            tools.use(said)
            order = ranking(said.text, len(texts))
            scores = {state.drafts[place]: 1 - position / len(order) for position, place in enumerate(order)}
        else:
            marks = await tools.together(self._marked(query, tools, place) for place in state.drafts)
            scores = {place: value for place, value in marks if value is not None}
        for place, score in scores.items():
            tools.rate(place, score)
        ranked = sorted(state.drafts, key=lambda place: (-scores.get(place, 0.0), -tools.candidates[place].logprob, tools.candidates[place].text))
        self._leave(tools, state, ranked[: options["top"]])

    async def _marked(self, query: Query, tools: Tools, place: int) -> tuple[int, float | None]:
        found = await mark(query, tools, tools.candidates[place].text)
        return place, None if found is None else found / TOP

    async def _fuse(self, query: Query, tools: Tools, options: Mapping[str, Any], state: _State) -> None:
        """New drafts in place of the old, unless none can be read."""
        if not state.drafts:
            return
        shown = tuple(_criticised(tools.candidates[place].text, state.critiques.get(place)) for place in state.drafts[: options["shown"]])
        fused = (self.attempt(query, tools, skill="summarise", texts=shown, temperature=options["temperature"]) for _ in range(options["n"]))
        readable = [place for place in await tools.together(fused) if votes(tools.candidates[place])]
        if readable:
            self._leave(tools, state, readable)

    async def _verify(self, query: Query, tools: Tools, state: _State) -> None:
        async def judged(place: int) -> tuple[int, float | None]:
            found = await verdict(query, tools, tools.candidates[place].text)
            return place, None if found is None else found.probability

        found = dict(await tools.together(judged(place) for place in state.drafts)) if state.drafts else {}
        for place, probability in found.items():
            if probability is not None:
                tools.rate(place, probability)
        standing = [place for place in state.drafts if (found.get(place) or 0.0) >= 0.5 or found.get(place) is None]
        self._leave(tools, state, standing or list(state.drafts))

    async def _test(self, query: Query, tools: Tools, count: int, state: _State) -> None:
        said = await self.draw(query, tools, skill="tests", temperature=0.0)
        tests = [line.strip() for line in said.text.splitlines() if line.strip()][:count]
        tools.use(said)
        passed: dict[int, list[float]] = defaultdict(list)

        async def tried(place: int, test: str) -> None:
            found = await chosen(query, tools, "passes", (tools.candidates[place].text, test), ("Passed", "Failed"))
            passed[place].append(0.0 if found is None else found)

        await tools.together(tried(place, test) for place in state.drafts for test in tests)
        for place in state.drafts:
            if passed[place]:
                tools.rate(place, sum(passed[place]) / len(passed[place]))

    @staticmethod
    def _leave(tools: Tools, state: _State, drafts: list[int]) -> None:
        """Only these go on, and vote."""
        for place in range(len(tools.candidates)):
            if place not in drafts and votes(tools.candidates[place]):
                tools.discard(place)
        state.drafts = drafts


def _criticised(text: str, critique: str | None) -> str:
    return f"{text}\n{critique}" if critique else text
