"""Make the bundled reasoners, or judge them: `python -m workers.reasoner train|evaluate`."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from workers.reasoner.abilities import Ability, abilities
from workers.reasoner.evaluate import Marks, grouped, mark, wilson
from workers.reasoner.reward import make_reward_model
from workers.reasoner.train import RECIPES, make_reasoner
from workers.reasoner.workload import Problem

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(width=max(Console().width, 110))


@app.command()
def train(
    build: Annotated[Path, typer.Option(help="Folder for checkpoints; training resumes from what is there.")] = Path("build/reasoners"),
    only: Annotated[list[str] | None, typer.Option(help="Make only this model (nano, small, large or prm); may be repeated.")] = None,
) -> None:
    """Train all models from their seeds, the reward model last; progress bars, resumable; about three hours on two cores."""
    for name in only or [*RECIPES, "prm"]:
        if name == "prm":
            make_reward_model(build)
        else:
            make_reasoner(name, build)


@app.command()
def evaluate(
    count: Annotated[int, typer.Option("--problems", help="Held-out problems.")] = 480,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Print accuracy by family and difficulty, and of every skill, with 95 % intervals."""
    torch.set_num_threads(1)  # two models at work at a time
    paper, marks = asyncio.run(mark(count))
    skills = asyncio.run(abilities(count))
    views = {"family": lambda problem: problem.family, "level": lambda problem: str(problem.level)}
    if as_json:
        found = {one.name: {"all": wilson(one.right), **{view: dict(grouped(paper, one, key)) for view, key in views.items()}} for one in marks}
        print(json.dumps({"problems": count, "marks": found, "skills": [asdict(one) for one in skills]}, indent=2))
        return
    for view, key in views.items():
        console.print(_sheet(paper, marks, view, {one.name: {"all": wilson(one.right), **grouped(paper, one, key)} for one in marks}))
    console.print(_skills(skills))


def _skills(skills: list[Ability]) -> Table:
    table = Table("skill of large", "share right", "without it", "ROC area", "calibration error", title=f"{skills[0].count} held-out problems")
    for one in skills:
        told = ["" if value is None else f"{value:.2f}" for value in (one.auc, one.ece)]
        table.add_row(one.skill, f"{one.right:.2f} [{one.low:.2f}-{one.high:.2f}]", f"{one.without:.2f}", *told)
    return table


def _sheet(paper: list[Problem], marks: list[Marks], view: str, rows: dict[str, dict[str, tuple[float, float, float]]]) -> Table:
    columns = list(next(iter(rows.values())))
    titles = [column.replace("_", "\n") for column in columns]
    table = Table("", *titles, title=f"{len(paper)} held-out problems, by {view}: percent right and 95 % interval", show_lines=True)
    for one in marks:
        percents = ([round(100 * value) for value in rows[one.name][column]] for column in columns)
        table.add_row(one.name, *(f"{share}\n{low}-{high}" for share, low, high in percents))
    return table


if __name__ == "__main__":
    app()
