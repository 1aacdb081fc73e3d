"""Inference-time strategies, one per file: how to spend compute on one query."""

from router.ports import Strategy
from router.registry import Registry

strategies: Registry[Strategy] = Registry("workers.strategies")
