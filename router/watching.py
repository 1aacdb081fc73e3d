"""Questions as they are answered, for whoever watches: the latest in a table, above the bars of what is still to be done."""

from collections import deque
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from router.exam import Attempt

_LATEST = 6
_FIRST = 5  # lines where there is no terminal on which a table could change
_LONGEST = 44  # characters of a question


class Watched(Progress):
    """Bars, and what was answered latest. Where output is no terminal, the first answers are lines instead."""

    def __init__(self, console: Console) -> None:
        self._latest: deque[Attempt] = deque(maxlen=_LATEST)
        self._told = 0
        super().__init__(TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)

    def answered(self, attempt: Attempt) -> None:
        """One more."""
        self._latest.append(attempt)
        if self._told < _FIRST and not self.console.is_terminal:
            self._told += 1
            question, answer, *rest = _cells(attempt)
            self.console.print(f"  {question} -> {answer} ({', '.join(rest)})", highlight=False, markup=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The table, as long as it has anything, then the bars."""
        if self._latest and self.console.is_terminal and not self.finished:
            yield self._table()
        yield from super().get_renderables()

    def _table(self) -> Table:
        """A line for each, and always as many lines, so that nothing jumps."""
        table = Table(title="Answered just now", title_justify="left", expand=True)
        for name, share in (("question", 4), ("answer", 1), ("", 1), ("cost", 1), ("bought", 4)):
            table.add_column(name, ratio=share, no_wrap=True, overflow="ellipsis")
        for attempt in self._latest:
            table.add_row(*_cells(attempt), style="" if attempt.right else "yellow")
        for _ in range(_LATEST - len(self._latest)):
            table.add_row()
        return table


def _cells(attempt: Attempt) -> tuple[str, str, str, str, str]:
    question = attempt.problem.question
    short = question if len(question) <= _LONGEST else f"{question[: _LONGEST - 3]}..."
    return short, attempt.answer or "none", "right" if attempt.right else "wrong", f"{attempt.cost:,}", " > ".join(attempt.plans)
