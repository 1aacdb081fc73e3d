"""Any reward model behind an HTTP endpoint."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from router.errors import BackendUnavailable
from router.ports import Spent
from router.types import Query
from workers.verifiers import verifiers

Shape = Literal["scores", "rerank", "pooling"]


@verifiers.register("endpoint")
class Endpoint:
    """A server at `url` that scores texts. `shape` is how it is asked:

    - "scores": `{"query": ..., "texts": [...]}`, answered by `{"scores": [...]}`;
    - "rerank": the same question, answered by `[{"index": 0, "score": ...}, ...]` (text-embeddings-inference);
    - "pooling": `{"model": ..., "input": [...]}`, question and text joined, answered by `{"data": [{"data": [...]}]}`, the last of each (vLLM).

    `squash` puts any number through a sigmoid; without it the numbers must lie in [0, 1]. `steps` says whether it can judge beginnings. The key is
    read from the environment variable `api_key_env`. Each text is charged its bytes, and the question's, as tokens: the server does not tell.
    """

    def __init__(
        self,
        *,
        url: str,
        shape: Shape = "scores",
        model: str = "",
        squash: bool = False,
        steps: bool = False,
        api_key_env: str = "RHEOSTAT_REWARD_KEY",
        timeout: float = 30.0,
    ) -> None:
        import httpx2  # noqa: PLC0415 - comes with the client of OpenAI's API

        if shape not in _READ:
            raise ValueError(f"endpoint: shape is one of {', '.join(_READ)}, not {shape!r}")
        key = os.environ.get(api_key_env)
        self._client = httpx2.AsyncClient(timeout=timeout, headers={"authorization": f"Bearer {key}"} if key else None)
        self._url, self._shape, self._model, self._squash = url, shape, model, squash
        self.steps = steps

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """No more than the bytes sent."""
        return sum(len(query.text.encode()) + len(text.encode()) + 2 for text in texts)

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`; raises BackendUnavailable where the answer is not one number for each text."""
        import httpx2  # noqa: PLC0415

        if not texts:
            return []
        spent.prompt = self.count(query, texts)
        try:
            answer = await self._client.post(self._url, json=self._question(query, texts))
            answer.raise_for_status()
            found = _READ[self._shape](answer.json(), len(texts))
        except httpx2.HTTPError as error:
            spent.prompt = 0
            raise BackendUnavailable(f"{self._url}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BackendUnavailable(f"{self._url} gave no scores that can be read: {error}") from error
        return self._checked(found, len(texts))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _question(self, query: Query, texts: Sequence[str]) -> Mapping[str, object]:
        if self._shape == "pooling":
            return {"model": self._model, "input": [f"{query.text}\n\n{text}" for text in texts]}
        return {"query": query.text, "texts": list(texts)}

    def _checked(self, found: Sequence[float], count: int) -> list[float]:
        values = [1 / (1 + math.exp(-max(-700.0, min(700.0, value)))) if self._squash else value for value in found]
        if len(values) != count or not all(0 <= value <= 1 for value in values):
            raise BackendUnavailable(f"{self._url} gave {len(values)} scores for {count} texts, or some outside [0, 1]; see `squash`")
        return values


def _ranked(answer: Any, count: int) -> list[float]:  # noqa: ANN401 - JSON
    found = {int(row["index"]): float(row["score"]) for row in answer}
    return [found[place] for place in range(count)]


_READ: Mapping[str, Callable[[Any, int], list[float]]] = {
    "scores": lambda answer, count: [float(value) for value in answer["scores"]],
    "rerank": _ranked,
    "pooling": lambda answer, count: [float(row["data"][-1]) for row in answer["data"]],
}
