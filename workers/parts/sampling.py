"""How strategies draw whole solutions: the hyper-parameters they share, and what they do with them."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from router.ports import Tools
from router.types import Query, Sample
from workers.parts.vote import votes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Whole solutions at one temperature."""

    skill: str = "solve"
    temperature: float = 0.8
    top_p: float = 1.0
    max_tokens: int = 256

    async def draw(self, query: Query, tools: Tools, **more: Any) -> Sample:  # noqa: ANN401 - further arguments of Tools.sample
        """Buy one sample."""
        asked = {"skill": self.skill, "temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens, **more}
        return await tools.sample(query, **asked)

    async def attempt(self, query: Query, tools: Tools, **more: Any) -> int:  # noqa: ANN401 - further arguments of Tools.sample
        """Buy one solution and keep it; its place among the candidates."""
        return tools.keep(query, [await self.draw(query, tools, **more)])

    async def attempts(self, query: Query, tools: Tools, count: int) -> None:
        """Buy that many side by side, and keep them."""
        await tools.together(self.attempt(query, tools) for _ in range(count))


def missing(tools: Tools, n: int) -> int:
    """How many of `n` solutions are still to be drawn: those of earlier stages count; where `n` are there already, as many again."""
    return n - tools.earlier % n


def remarked(query: Query, remark: str) -> Query:
    """The query with a remark after the last thing the user said, for models that follow instructions."""
    last = max((place for place, one in enumerate(query.messages) if one.role == "user"), default=None)
    if last is None or not remark:
        return query
    said = replace(query.messages[last], content=f"{query.messages[last].content}\n\n{remark}")
    return replace(query, messages=(*query.messages[:last], said, *query.messages[last + 1 :]))


async def score_once(query: Query, tools: Tools) -> None:
    """Have every text scored that votes and has no score yet, equal ones once."""
    unscored = dict.fromkeys(one.text for one in tools.candidates if one.score is None and votes(one))
    await tools.score(query, tuple(unscored))


async def in_turn(tools: Tools, attempt: Callable[[], Coroutine[Any, Any, int]], count: int, width: int, enough: Callable[[int], bool]) -> bool:
    """Make up to `count` attempts, `width` at a time, until one is `enough`, which is told their places; whether one was.

    They are looked at in the order in which they were begun, so what is seen depends neither on `width` nor on which is quick: taken as they end,
    short ones would be favoured. Then those under way are dropped, and those that ended out of turn have no vote.
    """
    ended: dict[int, list[int]] = {}
    seen = 0

    async def noted(number: int) -> None:
        places: list[int] = []
        try:
            places.append(await attempt())
        finally:
            ended[number] = places

    def satisfied() -> bool:
        nonlocal seen
        while seen in ended:
            places = ended.pop(seen)
            seen += 1
            if any(map(enough, places)):
                return True
        return False

    found = False
    with tools.crowd((noted(number) for number in range(count)), width) as crowd:
        async for _ in crowd:
            if found := satisfied():
                break
    found = found or satisfied()  # those behind one that failed
    for place in chain.from_iterable(ended.values()):
        tools.discard(place)
    return found
