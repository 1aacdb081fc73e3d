"""Fitted Q evaluation: what each choice leads to under the policy in question, learned from the log, for the estimators that take a model.

Le, Voloshin & Yue 2019, arXiv 1903.08738, algorithm 3, with a ridge regression at every step, from the last to the first:

    q_t(x, a) = offset + design beta_t,    beta_t = argmin sum ( r_t + sum_b pi(b | x') q_t+1(x', b) - q_t(x, a) )^2 + ridge |beta|^2

Each fold of the rows is told by what was learned from the others (cross-fitting), so that doubly robust estimators stay unbiased.
"""

import numpy as np

from policies.evaluation.logs import Array, Mask, Trajectories

_FOLDS = 5
_RIDGE = 10.0  # rows' worth of holding to the offset


def fitted(trajectories: Trajectories, design: Array, offset: Array) -> Array:
    """The sum of rewards from each step on, for every action, (n, T, k). `design` is (n, T, k, d); `offset` (n, T, k) is the guess to begin with."""
    count = len(trajectories.action)
    fold = np.arange(count) % min(_FOLDS, count)
    model = np.zeros(trajectories.target.shape)
    for part in range(fold.max() + 1):
        kept = fold != part if fold.max() else fold == part
        model[fold == part] = _backward(trajectories, design, offset, kept)[fold == part]
    return model


def _backward(log: Trajectories, design: Array, offset: Array, kept: Mask) -> Array:
    steps = log.action.shape[1]
    model, ahead, weights = np.zeros(offset.shape), np.zeros(len(log.action)), log.weights
    known = np.full(offset.shape, np.nan) if log.known is None else log.known
    for step in reversed(range(steps)):
        rows = np.flatnonzero(kept & log.mask[:, step])
        beta = np.zeros(design.shape[-1])
        if len(rows):
            at = rows, step, log.action[rows, step]
            x, y = design[at], log.reward[rows, step] + ahead[rows] - offset[at]
            gram = (x * weights[rows, None]).T @ x + _RIDGE * np.eye(x.shape[1])
            beta = np.linalg.solve(gram, x.T @ (weights[rows] * y))
        model[:, step] = offset[:, step] + design[:, step] @ beta
        values = np.where(np.isnan(known[:, step]), model[:, step], known[:, step])
        ahead = np.where(log.mask[:, step], (log.target[:, step] * values).sum(1), 0.0)
    return model
