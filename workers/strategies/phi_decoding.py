"""Steps chosen by simulating how the solution would go on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import ClassVar

import numpy as np

from router.ports import Tools
from router.types import Candidate, Query, Sample
from workers.parts.clustering import k_means, tf_idf
from workers.parts.particles import Weights, softmax
from workers.parts.steps import Path, Stepping, extended
from workers.parts.vote import choose
from workers.strategies import strategies


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """A path, whose value is how likely its simulated ending is, with that ending, its gain on the step before, and its place as a candidate."""

    path: Path
    text: str
    gain: float
    place: int | None


@strategies.register("phi_decoding")
@dataclass(frozen=True, slots=True, kw_only=True)
class PhiDecoding(Stepping):
    """Phi-decoding: adaptive foresight sampling (Xu et al. 2025, arXiv 2503.13288), without a verifier.

    `rollouts` next steps of each of `beams` paths are tried; those whose mean log-probability is more than a standard deviation under the mean are
    pruned, down to `beams` at most. The others are simulated to the end at `foresight_temperature`. Of these `beams` are drawn without replacement,
    half by the gain (mean log-probability of the ending, less that of the step before, over `scale`), half by alignment (the share of endings in
    the same of `clusters` k-means clusters over TF-IDF). From `least` steps on it ends once a cluster holds `consensus` of the endings, or all are
    equal. The last of `max_steps`, after 8 with foresight, is written to the end. Endings are solutions, so they are the candidates: those of the
    last round in the larger of 2 clusters share 1 by a softmax of their gains, all others have nothing, and the answer that most is for is given,
    where the authors draw one ending. Softmaxes are shifted by their maximum, and what is drawn depends on the run's own generator; in the
    authors' code neither is so, and the branch for equal endings chooses from the wrong list.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "logprobs"})
    temperature: float = 0.6
    max_steps: int = 9
    beams: int = 4
    rollouts: int = 4
    foresight_temperature: float = 1.0
    clusters: int = 3
    scale: float = 0.1
    least: int = 4
    consensus: float = 0.69

    def __post_init__(self) -> None:
        counts = min(self.beams, self.rollouts, self.clusters, self.least)
        if counts < 1 or not self.possible or self.foresight_temperature < 0 or self.scale <= 0 or not 0 < self.consensus <= 1:
            raise ValueError("phi_decoding: counts must be at least 1, scale above 0, foresight_temperature at least 0, consensus within (0, 1]")

    @property
    def spends(self) -> str:
        """Steps and endings."""
        tried = self.beams * self.rollouts
        return f"{tried} steps and up to as many endings, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Go on from what promises most, until the endings agree or every beam is finished."""
        frontier, ended, round_before = [Path()] * self.beams, list[Foresight](), list[Foresight]()
        for number in range(1, self.max_steps + 1):
            tried = [path for path in frontier for _ in range(self.rollouts)]
            steps = pruned(await extended(self, query, tools, tried), self.beams)
            foreseen = await tools.together(self._foreseen(query, tools, path) for path in steps)
            self._rate(tools, [*ended, *foreseen], round_before)
            labels = clustered([one.text for one in foreseen], self.clusters, tools.rng)
            if not foreseen or (number >= self.least and Counter(labels).most_common(1)[0][1] >= self.consensus * len(labels)):
                break
            places = drawn(promise(labels, [one.gain for one in foreseen], self.scale), self.beams - len(ended), tools.rng)
            chosen, round_before = [foreseen[place] for place in places], foreseen
            ended += [one for one in chosen if one.path.finished]
            frontier = [one.path for one in chosen if not one.path.finished]
            if not frontier:
                break
        return "done" if tools.candidates[tools.earlier :] else "dead_end"

    async def _foreseen(self, query: Query, tools: Tools, path: Path) -> Foresight:
        """Simulate a path to the end; a finished one is its own ending."""
        if path.finished:
            likely = mean_logprob(path.samples[-1])
            return Foresight(path=replace(path, value=likely), text=path.text, gain=likely - path.value, place=path.place)
        sample = await tools.sample(query, prefix=path.text, skill=self.skill, temperature=self.foresight_temperature, max_tokens=self.last_tokens)
        tools.use(sample)
        likely, place = mean_logprob(sample), tools.keep(query, (*path.samples, sample)) if sample.finish.whole else None
        return Foresight(path=replace(path, value=likely), text=path.text + sample.text, gain=likely - path.value, place=place)

    def _rate(self, tools: Tools, now: Sequence[Foresight], before: Sequence[Foresight]) -> None:
        """Let the endings of this round have all the weight, so that a run that is cut short answers from its last whole round."""
        weights = final([one.text for one in now], [one.gain for one in now], self.scale, tools.rng)
        for one in before if now else ():
            if one.place is not None:
                tools.rate(one.place, 0.0)
        for one, weight in zip(now, weights, strict=True):
            if one.place is not None:
                tools.rate(one.place, float(weight))

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer that most of the weight is for."""
        return choose(candidates, "weighted")


def mean_logprob(sample: Sample) -> float:
    """Per token; 0 where the backend does not tell."""
    return fsum(sample.logprobs) / len(sample.logprobs) if sample.logprobs else 0.0


def pruned(paths: Sequence[Path], least: int) -> list[Path]:
    """Without the paths whose last step is unlikely for its kind, but never fewer than `least` of them."""
    likely = np.array([mean_logprob(path.samples[-1]) for path in paths])
    if len(paths) <= least or likely.std() == 0:
        return list(paths)
    enough = max(least, int((likely > likely.mean() - likely.std()).sum()))
    kept = np.sort(np.argsort(-likely, kind="stable")[:enough])
    return [paths[place] for place in kept]


def clustered(texts: Sequence[str], clusters: int, rng: np.random.Generator) -> list[int]:
    """The cluster of each text; all are in one if all are equal."""
    return [int(label) for label in k_means(tf_idf(texts), clusters, rng)] if len(set(texts)) > 1 else [0] * len(texts)


def promise(labels: Sequence[int], gains: Sequence[float], scale: float) -> Weights:
    """Half by alignment, half by gain; by gain alone where all are in one cluster."""
    sizes = Counter(labels)
    by_gain = softmax(gains, scale)
    if len(sizes) == 1:
        return by_gain
    return 0.5 * softmax([sizes[label] / len(labels) for label in labels]) + 0.5 * by_gain


def drawn(weights: Weights, count: int, rng: np.random.Generator) -> list[int]:
    """Places drawn one after another without replacement, each by its weight among those left (the Gumbel-top-k trick)."""
    with np.errstate(divide="ignore"):  # what weighs nothing comes last
        keys = np.log(weights) + rng.gumbel(size=len(weights))
    return [int(place) for place in np.sort(np.argsort(-keys, kind="stable")[:count])]


def final(texts: Sequence[str], gains: Sequence[float], scale: float, rng: np.random.Generator) -> list[float]:
    """What each ending counts: in the larger of two clusters a softmax of the gains, outside of it nothing. Of equal clusters the one that gains."""
    if not texts:
        return []
    labels = clustered(texts, 2, rng)
    whole = softmax(gains, scale)
    share = {label: fsum(whole[place] for place, one in enumerate(labels) if one == label) for label in labels}
    best = max(share, key=lambda label: (labels.count(label), share[label]))
    inside = softmax([gain if label == best else -np.inf for gain, label in zip(gains, labels, strict=True)], scale)
    return [float(weight) for weight in inside]
