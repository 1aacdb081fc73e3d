"""Layers of components: what a design of them may be, how many calls it makes, and the search for a good one under a call budget.

Archon (Saad-Falcon et al. 2024, arXiv 2409.15254): a design is a list of layers, a layer a list of components, a component a mapping with one key,
its kind, such as `{"generate": {"n": 8}}`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPTIONS: Mapping[str, Mapping[str, object]] = {
    "generate": {"n": 1, "temperature": 0.8, "skill": "solve"},
    "critique": {},
    "rank": {"top": 5, "by": "score"},
    "fuse": {"n": 1, "shown": 4, "temperature": 0.8},
    "verify": {},
    "tests": {"n": 5},
}
MOST_TESTS = 10


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a layer, with every option of its kind."""

    kind: str
    options: Mapping[str, Any]


Design = tuple[tuple[Component, ...], ...]


def design(layers: Sequence[Sequence[Mapping[str, Mapping[str, object] | None]]]) -> Design:
    """The layers as they are written in YAML; ValueError says which rule they break (section 3.1 of the paper)."""
    made = tuple(tuple(_component(one) for one in layer) for layer in layers)
    if not made or not all(made):
        raise ValueError("layers: there must be at least one layer, and no empty one")
    if {one.kind for one in made[0]} != {"generate"}:
        raise ValueError("layers: the first layer generates, and does nothing else")
    later = [one for layer in made[1:] for one in layer]
    if any(one.kind == "generate" for one in later):
        raise ValueError("layers: only the first layer generates")
    kinds = [one.kind for one in later]
    if "critique" in kinds and not {"rank", "fuse"} & set(kinds[kinds.index("critique") :]):
        raise ValueError("layers: a critique is for a rank or a fuse after it")
    last = {"verify", "tests"}
    if any(kind in last and not set(kinds[place:]) <= {*last, "rank"} for place, kind in enumerate(kinds)):
        raise ValueError("layers: verify and tests come at the end")
    return made


def calls(made: Design) -> int:
    """Samples that a design takes at most: a check is one for each draft, a test one for each draft and test."""
    total = drafts = 0
    for layer in made:
        for one in layer:
            match one.kind:
                case "generate":
                    drafts += int(one.options["n"])
                    total += int(one.options["n"])
                case "fuse":
                    drafts = int(one.options["n"])
                    total += drafts
                case "rank":
                    total += drafts if one.options["by"] == "score" else 1
                    drafts = min(drafts, int(one.options["top"]))
                case "tests":
                    total += 1 + drafts * int(one.options["n"])
                case _:
                    total += drafts
    return total


def ranking(text: str, count: int) -> list[int]:
    """Places in the order of a text such as `[4] > [2] > [1]`: what is missing comes last, what is twice or is no place is left out."""
    found = [int(one) - 1 for one in _numbers(text)]
    ranked = list(dict.fromkeys(place for place in found if 0 <= place < count))
    return [*ranked, *(place for place in range(count) if place not in ranked)]


def _numbers(text: str) -> Iterator[str]:
    number = ""
    for letter in f"{text} ":
        if letter.isascii() and letter.isdigit():
            number += letter
        elif number:
            yield number
            number = ""


def _component(written: Mapping[str, Mapping[str, object] | None]) -> Component:
    if len(written) != 1:
        raise ValueError(f"layers: a component has one key, its kind, not {sorted(written)}")
    ((kind, options),) = written.items()
    if kind not in OPTIONS:
        raise ValueError(f"layers: no component {kind!r}; known: {', '.join(OPTIONS)}")
    if unknown := set(options or {}) - set(OPTIONS[kind]):
        raise ValueError(f"layers: {kind} takes {', '.join(OPTIONS[kind]) or 'nothing'}, not {', '.join(sorted(unknown))}")
    chosen: dict[str, Any] = {**OPTIONS[kind], **(options or {})}
    if any(isinstance(chosen.get(name), int) and chosen[name] < 1 for name in ("n", "top", "shown")) or int(chosen.get("n", 1)) > 256:
        raise ValueError(f"layers: the counts of {kind} are at least 1")
    if kind == "rank" and chosen["by"] not in ("score", "rank"):
        raise ValueError("layers: rank goes by score or by rank")
    if kind == "tests" and int(chosen["n"]) > MOST_TESTS:
        raise ValueError(f"layers: at most {MOST_TESTS} tests")
    return Component(kind, chosen)


# --- architecture search -----------------------------------------------------------------------------------------------

SPACE: Mapping[str, Sequence[int]] = {
    "n": (1, 2, 4, 8, 16),
    "critique": (0, 1),
    "rank": (0, 1),
    "fusers": (0, 1, 2),
    "fuse_n": (1, 2, 4),
    "verify": (0, 1),
}


def written(choice: Mapping[str, int]) -> list[list[dict[str, dict[str, object]]]]:
    """The layers of one point of the search space, as they would stand in YAML."""
    layers: list[list[dict[str, dict[str, object]]]] = [[{"generate": {"n": choice["n"]}}]]
    if choice["critique"] and (choice["rank"] or choice["fusers"]):
        layers.append([{"critique": {}}])
    if choice["rank"]:
        layers.append([{"rank": {"top": 5}}])
    for number in range(choice["fusers"]):
        layers.append([{"fuse": {"n": choice["fuse_n"] if number + 1 < choice["fusers"] else 1}}])
    if choice["verify"]:
        layers.append([{"verify": {}}])
    return layers


def searched(
    evaluate: Callable[[list[list[dict[str, dict[str, object]]]]], float], *, budget: int, trials: int, rng: np.random.Generator
) -> tuple[list[list[dict[str, dict[str, object]]]], float]:
    """The best design of at most `budget` calls and its quality, after `trials` evaluations (Archon's ITAS, section 3.3).

    Bayesian optimisation as in the paper: a Gaussian process over the designs (squared-exponential kernel on standardised, doubling scales) and
    expected improvement; the first few are drawn by lot. Designs that come to the same layers are one. ValueError if none fits.
    """
    designs = _within(budget)
    if not designs:
        raise ValueError(f"no design makes at most {budget} calls")
    points: NDArray[np.float64] = np.array([list(np.log2(1 + np.array(list(choice.values())))) for choice in designs])
    points = (points - points.mean(0)) / (points.std(0) + 1e-9)
    tried: dict[int, float] = {}
    for trial in range(min(trials, len(designs))):
        open_places = [place for place in range(len(designs)) if place not in tried]
        start = trial < 3 or len(set(tried.values())) == 1
        place = int(rng.choice(open_places)) if start else max(open_places, key=lambda one: _improvement(points, tried, one))
        tried[place] = evaluate(written(designs[place]))
    best = max(tried, key=lambda place: (tried[place], -calls(design(written(designs[place])))))
    return written(designs[best]), tried[best]


def _within(budget: int) -> list[dict[str, int]]:
    """Points of the space that fit and differ in what they come to."""
    found: dict[str, dict[str, int]] = {}
    for values in product(*SPACE.values()):
        choice = dict(zip(SPACE, values, strict=True))
        layers = written(choice)
        if calls(design(layers)) <= budget:
            found.setdefault(repr(layers), choice)
    return list(found.values())


def _improvement(points: NDArray[np.float64], tried: Mapping[int, float], place: int) -> float:
    """Expected improvement on the best so far (Mockus 1975) under a Gaussian process with a small noise."""
    seen, values = points[list(tried)], np.array(list(tried.values()))
    scale = values.std() + 1e-9
    against = np.exp(-0.5 * ((seen[:, None] - seen[None]) ** 2).sum(-1) / 2)
    cross = np.exp(-0.5 * ((seen - points[place]) ** 2).sum(-1) / 2)
    solved = np.linalg.solve(against + 0.05 * np.eye(len(seen)), np.column_stack(((values - values.mean()) / scale, cross)))
    mean, variance = cross @ solved[:, 0], max(1e-9, 1 - float(cross @ solved[:, 1]))
    gain = mean - (values.max() - values.mean()) / scale
    z = gain / np.sqrt(variance)
    return float(gain * NormalDist().cdf(z) + np.sqrt(variance) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
