"""Any embedding model behind an HTTP endpoint."""

import os
from collections.abc import Sequence
from typing import Any
from weakref import finalize

import numpy as np

from predictors.encoders import LIMIT, encoders, readable
from router.errors import BackendUnavailable
from router.types import Vector


@encoders.register("endpoint")
class Endpoint:
    """A server with OpenAI's embeddings API (vLLM, text-embeddings-inference, llama.cpp) at `url`, which ends before `/embeddings`.

    `model` gives vectors of width `dim`; they are made unit length here. At most `batch` texts are sent at a time, each cut to `characters`, so
    that it fits what the model can read. The key is read from the environment variable `api_key_env`. `timeout` is seconds.
    """

    quick = False

    def __init__(
        self,
        *,
        url: str,
        model: str,
        dim: int,
        batch: int = 32,
        characters: int = LIMIT,
        api_key_env: str = "RHEOSTAT_ENCODER_KEY",
        timeout: float = 2.0,
    ) -> None:
        import httpx2  # noqa: PLC0415 - of an extra

        key = os.environ.get(api_key_env)
        self._client = httpx2.Client(base_url=url, timeout=timeout, headers={"authorization": f"Bearer {key}"} if key else None)
        finalize(self, self._client.close)
        self._url, self._model, self._batch, self._characters = url, model, batch, characters
        self.dim = dim
        self.version = f"{model}-{dim}"

    def encode(self, texts: Sequence[str]) -> Vector:
        """See `Encoder.encode`; raises BackendUnavailable where the answer is not one vector for each text. Blank texts are not sent."""
        out = np.zeros((len(texts), self.dim), np.float32)
        cut = [readable(text, self._characters) for text in texts]
        sent = [place for place, text in enumerate(cut) if text.strip()]
        for start in range(0, len(sent), self._batch):
            places = sent[start : start + self._batch]
            out[places] = self._asked([cut[place] for place in places])
        return out

    def _asked(self, texts: list[str]) -> Vector:
        import httpx2  # noqa: PLC0415

        try:
            answer = self._client.post("/embeddings", json={"model": self._model, "input": texts})
            answer.raise_for_status()
            return self._read(answer.json(), len(texts))
        except httpx2.HTTPError as error:
            raise BackendUnavailable(f"{self._url}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise BackendUnavailable(f"{self._url} gave no vectors that can be read: {error}") from error

    def _read(self, answer: Any, count: int) -> Vector:  # noqa: ANN401 - JSON
        found = {int(row["index"]): row["embedding"] for row in answer["data"]}
        rows = np.array([found[place] for place in range(count)], np.float64)
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if rows.shape != (count, self.dim) or not np.isfinite(lengths).all() or not lengths.all():
            raise ValueError(f"{count} texts, and numbers of shape {rows.shape} instead of width {self.dim}, or some that are no direction")
        return np.asarray(rows / lengths, np.float32)
