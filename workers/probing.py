"""Probing: does a backend really do what it claims? What is silently ignored is found out here, not in the middle of a search."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from router.errors import InvalidQuery
from router.ports import Backend, Spent
from router.types import Call, Halt, Message, Sample

_QUESTION = (Message(content="Calculate 2 + 3."),)


async def missing(backend: Backend, claimed: frozenset[str]) -> frozenset[str]:
    """Capabilities claimed that the backend does not have; raises BackendUnavailable when it cannot be reached."""
    plain = await _sampled(backend, max_tokens=12)
    found = {name: await _holds(probe, backend, plain) for name, probe in _PROBES.items() if name in claimed}
    return frozenset(name for name, holds in found.items() if not holds)


async def _holds(probe: "Probe", backend: Backend, plain: Sample) -> bool:
    try:
        return await probe(backend, plain)
    except InvalidQuery:  # it says itself that it cannot
        return False


async def _sampled(backend: Backend, **changes: Any) -> Sample:  # noqa: ANN401 - fields of Call
    call = Call(**{"messages": _QUESTION, "max_tokens": 12, "temperature": 0.0, "seed": 1, "skill": "solve", **changes})
    return await backend.sample(call, Spent())


async def _logprobs(backend: Backend, plain: Sample) -> bool:
    return bool(plain.logprobs) and all(value <= 0 for value in plain.logprobs)


async def _top_logprobs(backend: Backend, plain: Sample) -> bool:
    sample = await _sampled(backend, max_tokens=2, top_logprobs=2)
    return bool(sample.top_logprobs) and all(len(row) == 2 for row in sample.top_logprobs)


async def _stop(backend: Backend, plain: Sample) -> bool:
    """Whether a text that is written anyway stops it, and stays in the text."""
    middle = plain.text[: len(plain.text) // 2].rstrip()[-1:]
    if not middle:
        return False
    sample = await _sampled(backend, max_tokens=12, stop=(middle,))
    return sample.text == plain.text[: plain.text.index(middle) + 1]


async def _prefix(backend: Backend, plain: Sample) -> bool:
    """Whether a greedy sample goes on from its own beginning as it did before; cut before a space, where tokens end."""
    half = plain.text[: len(plain.text) // 2].rpartition(" ")[0]
    sample = await _sampled(backend, max_tokens=12, prefix=half)
    return bool(half) and sample.text[:3] == plain.text[len(half) :][:3]


async def _suppress(backend: Backend, plain: Sample) -> bool:
    first = plain.text.split()[:1]
    sample = await _sampled(backend, max_tokens=2, suppress=tuple(first))
    return bool(first) and not sample.text.strip().startswith(first[0])


async def _halt(backend: Backend, plain: Sample) -> bool:
    sample = await _sampled(backend, max_tokens=12, top_logprobs=2, halt=Halt(window=1, below=float("inf")))
    return sample.completion_tokens < max(2, plain.completion_tokens)


async def _pieces(backend: Backend, plain: Sample) -> bool:
    sample = await _sampled(backend, max_tokens=4, temperature=1.0, pieces=True)
    return "".join(sample.pieces) == sample.text and len(sample.drawn_logprobs) == sample.completion_tokens


Probe = Callable[[Backend, Sample], Awaitable[bool]]
_PROBES: Mapping[str, Probe] = {
    "logprobs": _logprobs,
    "top_logprobs": _top_logprobs,
    "stop": _stop,
    "prefix": _prefix,
    "suppress": _suppress,
    "halt": _halt,
    "pieces": _pieces,
}
