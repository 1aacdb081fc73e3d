"""How a frontier of paths is worked on: all of it a step at a time, or the most promising path first."""

from collections.abc import Awaitable, Callable, Sequence

from router.ports import Tools
from workers.parts.steps import Path

Grow = Callable[[Sequence[Path]], Awaitable[list[Path]]]  # paths, each as often as it is to be tried, to their different successors with values


async def beam_search(grow: Grow, tools: Tools, *, beams: int, children: int) -> str:
    """Keep the `beams` best of `children` successors of each path, round by round. A finished path that is kept takes its beam with it."""
    places, frontier = beams, [Path()] * beams
    while True:
        longer = await grow([path for path in frontier for _ in range(children)])
        best = sorted(longer, key=Path.rank)[:places]
        frontier = [path for path in best if not path.finished]
        places -= len(best) - len(frontier)
        if not frontier:
            return "done" if tools.candidates[tools.earlier :] else "dead_end"


async def best_first(grow: Grow, cost: Callable[[Path], float], *, children: int, expansions: int, frontier: int) -> tuple[str, Path]:
    """Expand the cheapest path of all until it is a finished one, `expansions` times at most; the `frontier` cheapest are remembered.

    Why it ended, and the path whose turn it was.
    """
    path, waiting = Path(), list[Path]()
    for _ in range(expansions):
        waiting = sorted((*waiting, *await grow([path] * children)), key=lambda one: (cost(one), *one.rank()))[:frontier]
        if not waiting:
            return "dead_end", path
        path, *waiting = waiting
        if path.finished:
            return "goal", path
    return "expansions", path
