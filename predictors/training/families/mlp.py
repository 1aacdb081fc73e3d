"""The small network, in torch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from predictors.training.families import Array, Places, even, observed, rates, sizes


def fit(
    x: Array, y: Array, weight: Array, fold: Places, seed: int, *, hidden: int = 32, decay: float = 0.02, epochs: int = 150
) -> dict[str, NDArray[Any]]:
    """Arrays of `predictors.heads.mlp`: cross-entropy over observed outcomes, AdamW (Loshchilov & Hutter 2019) over all rows at once."""
    scale, seen = sizes(x), observed(y, weight)
    mean = np.append(0.0, x[:, 1:].mean(axis=0)) if len(x) else np.zeros(x.shape[1])
    rows, right, kept = (torch.tensor(one, dtype=torch.float32) for one in ((x - mean) / scale, np.nan_to_num(y), even(weight, seen)))
    rate = rates(y, weight, seen)
    generator = torch.Generator().manual_seed(seed)
    trunk = (torch.randn(hidden, x.shape[1], generator=generator) / x.shape[1] ** 0.5).requires_grad_()
    weights = torch.zeros(y.shape[1], hidden, requires_grad=True)
    bias = torch.tensor(np.log(rate / (1 - rate)), dtype=torch.float32, requires_grad=True)
    decayed = [{"params": [trunk, weights], "weight_decay": decay / 0.01}, {"params": [bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(decayed, lr=0.01)
    with threadpool_limits(limits=1):  # again: torch may have been loaded after the caller said so
        for _ in range(epochs):
            z = torch.relu(rows @ trunk.T) @ weights.T + bias
            loss = (kept * (torch.nn.functional.softplus(z) - right * z)).sum() / kept.sum().clamp(min=1.0)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    served = trunk.detach().numpy().astype(float) / scale
    served[:, 0] -= served @ mean
    return {"trunk": served, "weights": weights.detach().numpy().astype(float), "bias": bias.detach().numpy().astype(float)}
