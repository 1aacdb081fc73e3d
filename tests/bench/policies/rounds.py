"""Rounds: every competitor is asked the same questions in the same order, one seed after the other, in as many processes as there are cores."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import numpy as np

from tests.bench.policies.competitors import Competitor, controls, ours
from tests.bench.policies.peers import GRID, installed, peers
from tests.bench.policies.problems import Array, Places, Problem

BLOCK = 50  # rounds that are summed up together


def order(problem: Problem, rounds: int, seed: int) -> Places:
    """Questions in random order, all of them again where there are too few."""
    rng, count = np.random.default_rng(seed), len(problem.context)
    return np.concatenate([rng.permutation(count) for _ in range(-(-rounds // count))])[:rounds]


def play(problem: Problem, competitor: Competitor, asked: Places) -> Array:
    """Reward, quality and cost of every round, (rounds, 3)."""
    reward, seen = problem.reward, []
    for ask in asked.tolist():
        plan = competitor.choose(ask)
        quality, cost = float(problem.quality[ask, plan]), float(problem.cost[ask, plan])
        competitor.learn(ask, plan, quality, cost)
        seen.append((reward[ask, plan], quality, cost))
    return np.array(seen)


def one_seed(problem: Problem, rounds: int, seed: int) -> dict[str, Array]:
    """Of every competitor, (rounds / BLOCK, 3): mean reward, quality and cost of each block."""
    asked = order(problem, rounds, seed)
    makers = {**ours(), **peers(), **controls(problem)}
    return {name: play(problem, make(problem, seed), asked).reshape(-1, BLOCK, 3).mean(axis=1) for name, make in makers.items()}


def tried(problem: Problem, rounds: int, seed: int) -> dict[str, Array]:
    """The same of every peer with every option of its grid."""
    asked, there, found = order(problem, rounds, seed), installed(), {}
    for name, (library, made, grid) in GRID.items():
        for options in grid if library in there else ():
            found[f"{name} {dict(options)}"] = play(problem, made(problem, seed, **options), asked).reshape(-1, BLOCK, 3).mean(axis=1)
    return found


def replay(
    problems: list[Problem], rounds: int, seeds: int, done: Callable[[str], None], work: Callable[[Problem, int, int], Any] = one_seed
) -> Mapping[str, dict[str, Array]]:
    """By problem and competitor, (seeds, rounds / BLOCK, 3)."""
    found: dict[str, list[dict[str, Array]]] = {problem.name: [{}] * seeds for problem in problems}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        tasks = {pool.submit(work, problem, rounds, seed): (problem.name, seed) for problem in problems for seed in range(seeds)}
        for task in as_completed(tasks):
            name, seed = tasks[task]
            found[name][seed] = task.result()
            done(name)
    return {name: {one: np.stack([by_seed[one] for by_seed in each]) for one in each[0]} for name, each in found.items()}
