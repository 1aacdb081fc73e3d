"""How strategies draw whole solutions: the hyper-parameters they share, and the one thing they do with them."""

from dataclasses import dataclass
from typing import Any

from router.ports import Tools
from router.types import Query
from workers.vote import votes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Whole solutions at one temperature."""

    skill: str = "solve"
    temperature: float = 0.8
    top_p: float = 1.0
    max_tokens: int = 256

    async def attempt(self, query: Query, tools: Tools, **more: Any) -> int:  # noqa: ANN401 - further arguments of Tools.sample
        """Buy one solution and keep it; its place among the candidates."""
        asked = {"skill": self.skill, "temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens, **more}
        return tools.keep(query, [await tools.sample(query, **asked)])


async def score_once(query: Query, tools: Tools) -> None:
    """Have every text scored that votes and has no score yet, equal ones once."""
    unscored = dict.fromkeys(one.text for one in tools.candidates if one.score is None and votes(one))
    await tools.score(query, tuple(unscored))
