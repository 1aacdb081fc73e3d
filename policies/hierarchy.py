"""The model of what forecasts get wrong: linear for each plan, all of them drawn from one that they share.

With x a `tally.row`, the outcome of plan a less its forecast is x' theta_a + noise; theta_a ~ N(theta_0, own D), theta_0 ~ N(0, shared D). So what is
learned of one plan tells of the others, most of all of those with few outcomes. Lindley & Smith (1972, "Bayes estimates for the linear model",
section 2); sampled backwards, theta_0 first. The two scales are not known: all is averaged over what the outcomes say of them, on a grid (fully
Bayesian, where the likeliest scales alone would take few outcomes for many).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from policies.tally import Array, Tally


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """The model at g pairs of scales, and how likely each pair is, `chance` (g,), all of them alike beforehand.

    `inverse` (g, k, d, d) and `told` (k, d) are covariance and precision times mean of each plan's own theta given theta_0 = 0, `prior` (g, d) its
    prior precision and `root` (g, k, d, d) gives z' root the covariance; `middle` (g, d), `spread` and `top_root` (g, d, d) say the same of theta_0.
    """

    prior: Array
    root: Array
    inverse: Array
    told: Array
    middle: Array
    spread: Array
    top_root: Array
    likelihood: Array

    @classmethod
    def of(cls, seen: list[Tally], noise: float, shared: Array, own: Array) -> Self:
        """After these outcomes, of this variance; the scales are variances of each column's coefficient, (g, d)."""
        prior = 1 / own
        told = np.stack([tally.moment for tally in seen]) / noise
        lower = np.linalg.cholesky(np.stack([tally.gram for tally in seen]) / noise + _diagonal(prior)[:, None])
        root = np.asarray(np.linalg.inv(lower), float)
        inverse = root.swapaxes(-1, -2) @ root
        passed = prior[:, :, None] * inverse.sum(axis=1) * prior[:, None, :]
        top = np.linalg.cholesky(_diagonal(1 / shared + len(seen) * prior) - passed)
        top_root = np.asarray(np.linalg.inv(top), float)
        spread = top_root.swapaxes(-1, -2) @ top_root
        alone = (inverse @ told[:, :, None])[..., 0]
        say = prior * alone.sum(axis=1)
        middle = (spread @ say[:, :, None])[..., 0]
        fit = (alone * told).sum(axis=(1, 2)) + (say * middle).sum(axis=1)
        sizes = (len(seen) * np.log(prior) - np.log(shared)).sum(axis=1)
        roots = np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=(1, 2)) + np.log(np.diagonal(top, axis1=-2, axis2=-1)).sum(axis=1)
        return cls(prior, root, inverse, told, middle, spread, top_root, 0.5 * (fit + sizes) - roots)

    @property
    def chance(self) -> Array:
        """P(scales | outcomes), (g,)."""
        chance = np.exp(self.likelihood - self.likelihood.max())
        return np.asarray(chance / chance.sum())

    def moments(self) -> tuple[Array, Array]:
        """Mean (k, d) and covariance (k, d, d) of each plan's theta, over all scales."""
        pull = self.inverse * self.prior[:, None, None, :]  # theta_a moves so with theta_0
        means = (self.inverse @ (self.told + (self.prior * self.middle)[:, None])[..., None])[..., 0]
        mean = np.tensordot(self.chance, means, 1)
        apart = means - mean
        covariance = self.inverse + pull @ self.spread[:, None] @ pull.swapaxes(-1, -2) + apart[..., :, None] * apart[..., None, :]
        return mean, np.tensordot(self.chance, covariance, 1)

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """Joint draws (k, count, d), in pairs about the mean at their scales; of each scale as many as its chance says."""
        half = rng.normal(size=(count // 2, len(self.told) + 1, self.told.shape[1]))
        scale = np.searchsorted(np.cumsum(self.chance), (np.arange(count // 2) + 0.5) / (count // 2))
        drawn = [self._drawn(int(one), np.concatenate((half[scale == one], -half[scale == one]))) for one in np.unique(scale)]
        return np.concatenate(drawn, axis=1)

    def _drawn(self, scale: int, normal: Array) -> Array:
        middle = self.middle[scale] + normal[:, -1] @ self.top_root[scale]
        means = np.einsum("kij,mkj->kmi", self.inverse[scale], self.told + self.prior[scale] * middle[:, None])
        drawn: Array = means + normal[:, :-1].swapaxes(0, 1) @ self.root[scale]
        return drawn


def _diagonal(values: Array) -> Array:
    """Diagonal matrices (g, d, d) of rows (g, d)."""
    matrices: Array = values[:, :, None] * np.eye(values.shape[1])
    return matrices
