"""The command line: `rheostat`."""

import asyncio
import inspect
import json
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import Progress
from rich.table import Table

from router import completing
from router.access.commands import keys
from router.access.settings import AccessSettings
from router.channel import Service
from router.errors import InvalidQuery, RouterError
from router.evaluation.question import KNOBS
from router.logs import write_logs
from router.redaction import masked
from router.settings import ServerSettings, Settings
from router.tenancy.commands import tenants
from router.terminal import SHORT, Commands, Json, calling, err, out
from router.terminal import explained as _explained
from router.terminal import read_settings as _settings
from router.terminal import run as _run

if TYPE_CHECKING:
    from router.processes import Replica

SERVE, ASK, WHO, LEARN, LOOK = (
    "Serve",
    "Ask, and see what became of it",
    "Who may ask, and for how much",
    "Learn from the log, and judge by it",
    "Look up",
)
app = typer.Typer(
    cls=Commands,
    epilog=f"Exit codes: {'; '.join(f'{code} {told}' for code, told in SHORT.items())}.",
    help="Decides how much compute each LLM query deserves, buys it, and learns from what it got.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Look at the settings.", no_args_is_help=True)
app.add_typer(config, name="config", rich_help_panel=LOOK)
promote = typer.Typer(help="Bring a candidate to serve, step by step and by evidence alone.", no_args_is_help=True)
app.add_typer(promote, name="promote", rich_help_panel=LEARN)
app.add_typer(tenants, name="tenants", rich_help_panel=WHO)
app.add_typer(keys, name="keys", rich_help_panel=WHO)

Tenant = Annotated[str, typer.Option(help="Whose requests, and whose knobs.", autocompletion=completing.tenants)]
Most = Annotated[int, typer.Option(min=100, help="Latest decisions to judge by, at most.")]
Column = Annotated[str | None, typer.Option(help="Name of the table's column.", show_default=False)]
_LOG = "Folder, file or glob of Parquet to learn from, or an address such as s3://bucket/prefix; the data folder's journal, if not given."
_ENGINE = "What reads the log; `ray`: all nodes of the cluster that RAY_ADDRESS names, if this machine is one; they must see it. Same result."
_EXAMPLE = "Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?"


@app.command(rich_help_panel=SERVE)
def serve() -> None:
    """Start the service, and whatever it needs that is not configured: a worker with the bundled models, and Redis."""
    _run(_serve(_settings()))


@app.command(rich_help_panel=SERVE)
def work(address: Annotated[str, typer.Option(help="Where to listen: host:port or unix:/path.")]) -> None:
    """Start a worker alone: the pools of the settings behind WorkerService. `serve` does this by itself unless worker.address is set."""
    from router.work import work as run  # noqa: PLC0415 - brings torch

    _run(run(_settings(), address))


@app.command(rich_help_panel=SERVE)
@calling
def health(
    *,
    service: Service,
    name: Annotated[str, typer.Option("--service", help="What is to serve; `rheostat.v1.WorkerService` of a worker, empty for the process.")] = (
        "rheostat.v1.RouterService"
    ),
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to wait for the answer.")] = 3.0,
    as_json: Json = False,
) -> None:
    """Say whether a router or a worker serves; exits with 1 if it does not. For people, and for probes of containers."""
    from router.health import SERVING  # noqa: PLC0415 - not needed by the other commands
    from router.health import health as run  # noqa: PLC0415

    found = _run(run(service, name, seconds))
    told = {"address": service.address, "service": name, "status": found}
    print(json.dumps(told)) if as_json else out.print(f"{name or 'the process'} at {service.address}: {found}", highlight=False)
    if found != SERVING:
        raise typer.Exit(1)


@app.command(rich_help_panel=ASK)
@calling
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    *,
    service: Service,
    value: Annotated[float | None, typer.Option(help="Micro-dollars a right answer is worth; the tenant's, if not given.")] = None,
    plan: Annotated[list[str] | None, typer.Option(help="Allow only this plan; may be repeated.", autocompletion=completing.plans)] = None,
    tenant: Annotated[
        str, typer.Option(help="Who asks; the key's tenant, or `default`, if not given.", show_default=False, autocompletion=completing.tenants)
    ] = "",
    deadline: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Ask a running service; shows the stages as they happen, and the receipt."""
    from router.ask import ask as run  # noqa: PLC0415 - not needed by the other commands

    _run(run(question, service, value=value, plans=plan or [], tenant=tenant, deadline=deadline, console=None if as_json else out))


@app.command(rich_help_panel=ASK)
def demo(questions: Annotated[int, typer.Option(min=20, help="How many held-out questions.")] = 200, as_json: Json = False) -> None:
    """Start a service of its own, answer held-out questions through it, and compare with every control."""
    console = err if as_json else out
    console.print("Starting the service with nothing configured ...")
    from router.practice import demonstrate  # noqa: PLC0415 - brings the whole service

    with tempfile.TemporaryDirectory(prefix="rheostat-demo-") as folder:
        settings = _settings(data=Path(folder), server=ServerSettings(address="127.0.0.1:0"), access=AccessSettings())
        try:
            report = _run(demonstrate(settings, questions, console))
        except asyncio.CancelledError:
            raise typer.Exit(143) from None
    if as_json:
        print(json.dumps(report.to_json(), indent=2))


@app.command(rich_help_panel=LEARN)
def retrain(  # noqa: PLR0917 - the options of the command
    log: Annotated[str | None, typer.Option("--from", help=_LOG)] = None,
    artifact: Annotated[
        Path | None, typer.Option("--to", help="Folder to write; the data folder's predictor, which a running service reloads, if not given.")
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(
            help="Learn about this plan; may be repeated. The configured ones, or all in the log of --from, if not given.",
            autocompletion=completing.plans,
        ),
    ] = None,
    features: Annotated[str, typer.Option(help="Learn from decisions with features of this version, a second encoder's, say; else the newest.")] = "",
    seed: Annotated[int, typer.Option(help="The same log and seed give the same bytes.")] = 0,
    engine: Annotated[Literal["local", "ray"], typer.Option(help=_ENGINE)] = "local",
    as_json: Json = False,
) -> None:
    """Fit the predictor to the decision log, and write its card beside it."""
    from predictors.training.extract import plans_bought  # noqa: PLC0415 - brings DuckDB
    from predictors.training.retrain import retrain as run  # noqa: PLC0415
    from predictors.training.storage import parquet_files  # noqa: PLC0415
    from router.decisions import journals, log_files  # noqa: PLC0415

    settings = _settings()
    into = artifact or settings.predictor_directory
    with _explained(), nullcontext(parquet_files(log)) if log else log_files(*journals(settings.data)) as files:
        plans = tuple(plan or (plans_bought(files) if log else settings.plans))
        report = run(files, plans, into, seed=seed, version=features, engine=engine, progress=not as_json)
    if as_json:
        print(json.dumps(report.facts, indent=2))
        return
    out.print(f"Fitted on {report.facts['decisions']} decisions; version {report.version} is in {into}, and card.md says how good it is")
    out.print(_heads(report.facts))


@app.command("import", rich_help_panel=LEARN)
def import_(  # noqa: PLR0917 - the options of the command
    table: Annotated[Path, typer.Argument(help="CSV, Parquet or JSONL file with a row per query and plan.", exists=True, dir_okay=False)],
    log: Annotated[Path, typer.Option("--to", help="Folder, or Parquet file, to write; `rheostat retrain --from` reads it.")],
    query: Column = None,
    plan: Column = None,
    outcome: Column = None,
    cost: Column = None,
    answer: Column = None,
    sample: Column = None,
    tokens_in: Column = None,
    tokens_out: Column = None,
    seconds: Column = None,
    propensity: Column = None,
    as_json: Json = False,
) -> None:
    """Turn a table of outcomes that others have measured into a decision log. Columns with usual names are recognised."""
    from predictors.encoders import encoders  # noqa: PLC0415 - not needed by the other commands
    from predictors.features import Featurizer  # noqa: PLC0415
    from router.tables import KNOWN, import_table  # noqa: PLC0415 - brings DuckDB

    given = locals()
    columns = {role: given[role] for role in KNOWN if given[role]}
    settings = _settings()
    with _explained(), Progress(console=err, disable=as_json) as bar:
        task = bar.add_task(table.name)
        describer = Featurizer(encoders.build(settings.encoder.name, settings.encoder.options))
        found = import_table(table, log, describer, columns=columns, progress=lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        print(json.dumps({"rows": found.rows, "queries": found.queries, "plans": found.plans, "file": str(found.file)}))
        return
    out.print(f"{found.rows} rows, {found.queries} queries, {len(found.plans)} plans are in {found.file}; next: rheostat retrain --from {log}")


@app.command(rich_help_panel=LEARN)
def benchmark(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of tables, one row per question, arm and sample; without it, only the bundled one.", exists=True, file_okay=False),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Judge on these questions, having learned from --data only.", exists=True, file_okay=False)
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for a page with plots.")] = None,
    as_json: Json = False,
) -> None:
    """Measure routing on real outcomes against every control, on questions that nothing was learned from."""
    from router.benchmark.report import show, write  # noqa: PLC0415 - brings scikit-learn
    from router.benchmark.run import run as measure  # noqa: PLC0415

    with _explained():
        if test and not data:
            raise InvalidQuery("--test judges what was learned from --data: give that too")
        found = measure(data, test, lambda name, left: err.print(f"{name}: done, {left} to go", style="dim", highlight=False))
    if to:
        write(found, to)
        err.print(f"The page is {to / 'report.md'}", highlight=False)
    print(json.dumps(found, indent=1)) if as_json else show(found, out)


@app.command(rich_help_panel=LEARN)
def evaluate(
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file with policy, predictor and knobs to judge; what it leaves out is as it serves.", exists=True, dir_okay=False),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Folder, file or glob of Parquet to judge by; the data folder's journal, if not given.", show_default=False)
    ] = None,
    tenant: Tenant = "default",
    most: Most = 4_000,
    as_json: Json = False,
) -> None:
    """Say from the decision log what a policy would have earned, beside what acted and the controls, before it serves; exits with 1 if it cannot."""
    found = _answer(policy, as_json, tenant=tenant, source=log, most=most)
    if "refused" in next(iter(found["estimates"].values())):
        raise typer.Exit(1)


@app.command("what-if", rich_help_panel=LEARN)
def what_if(  # noqa: PLR0917 - the options of the command
    knob: Annotated[str, typer.Argument(help=f"{', '.join(KNOBS[:-1])} or {KNOBS[-1]}.", autocompletion=completing.knobs)] = "value",
    at: Annotated[list[float] | None, typer.Option(help="A value of the knob; may be repeated. Its whole range, if not given.")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="YAML file with another policy, predictor or other knobs than serve.", exists=True, dir_okay=False)
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Parquet to judge by; the data folder's journal, if not given.", show_default=False)] = None,
    tenant: Tenant = "default",
    most: Most = 4_000,
    plot: Annotated[Path | None, typer.Option(help="File for a plot.", dir_okay=False, show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Say from the decision log what quality and cost would be along the range of a tenant's knob, before anybody turns it."""
    from router.evaluation.show import plot as draw  # noqa: PLC0415

    found = _answer(policy, as_json, tenant=tenant, source=log, most=most, knob=knob, values=tuple(at or ()))
    if plot:
        draw(found, plot)


def _answer(file: Path | None, as_json: bool, **question: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever a Question takes
    """Answer it from the log, and print."""
    from router.evaluation.question import Question  # noqa: PLC0415
    from router.evaluation.run import answered  # noqa: PLC0415 - brings DuckDB
    from router.evaluation.show import show  # noqa: PLC0415
    from router.settings import candidate  # noqa: PLC0415
    from router.tenancy.register import with_stored  # noqa: PLC0415

    settings = _run(with_stored(_settings()))
    with _explained(), Progress(console=err, disable=as_json, transient=True) as bar:
        task = bar.add_task("predicting again")
        found = answered(settings, Question(candidate=candidate(file), **question), lambda done, total: bar.update(task, completed=done, total=total))
    print(json.dumps(found, indent=1)) if as_json else show(found, out)
    return found


@app.command(rich_help_panel=LEARN)
def simulate(  # noqa: PLR0917 - the options of the command
    log: Annotated[
        Path | None,
        typer.Option("--from", help="Folder, file or glob of Parquet to play again; the data folder's journal, if not given.", show_default=False),
    ] = None,
    scales: Annotated[str, typer.Option(help="Numbers of GPUs, separated by commas, or a YAML file that describes one fleet.")] = "1,10,100,1000",
    rate: Annotated[float | None, typer.Option(min=0.01, help="Requests a second; a hundred for each GPU, if not given.", show_default=False)] = None,
    learning: Annotated[bool, typer.Option("--learning", help="Policies learn online, so that every router follows the log.")] = False,
    outage: Annotated[float, typer.Option(min=0, help="Seconds that Redis is away.")] = 0.0,
    requests: Annotated[int, typer.Option(min=500, help="Requests to simulate for each fleet and seed, about.")] = 5_000,
    seeds: Annotated[int, typer.Option(min=2, help="Simulations of each fleet, from which the intervals come.")] = 3,
    seed: Annotated[int, typer.Option(help="The first of them; the same seed gives the same numbers.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="File for a plot.", dir_okay=False, show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Simulate larger fleets from what this one has logged: latency, use, cost, budgets, learning, Redis, and what is used up first."""
    from router.simulation.command import scenarios  # noqa: PLC0415 - not needed by the other commands
    from router.simulation.command import simulate as run  # noqa: PLC0415
    from router.simulation.report import plot as draw  # noqa: PLC0415
    from router.simulation.report import show  # noqa: PLC0415

    with _explained(), Progress(console=err, disable=as_json, transient=True) as bar:
        task = bar.add_task("simulating")
        plans = [one.asking(rate=rate, learning=learning, outage=outage) for one in scenarios(scales)]

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        found = run(_settings(), log, plans, seed=seed, seeds=seeds, requests=requests, progress=progress)
    if plot:
        draw(found, plot)
    print(json.dumps(found, indent=1)) if as_json else show(found, out)


@app.command(rich_help_panel=LOOK)
def plugins(as_json: Json = False) -> None:
    """List every plug-in with its options."""
    from router.app import families  # noqa: PLC0415 - loads all of them

    found = {family: registry.describe() for family, registry in families().items()}
    if as_json:
        print(
            json.dumps(
                {family: {name: {"options": options, "about": about} for name, (options, about) in rows.items()} for family, rows in found.items()},
                indent=2,
            )
        )
        return
    for family, rows in found.items():
        table = Table("name", "options", "about", title=family)
        for name, (options, about) in rows.items():
            table.add_row(name, options, about)
        out.print(table)


@app.command("strategies", rich_help_panel=LOOK)
def list_strategies(as_json: Json = False) -> None:
    """List every inference-time strategy: what it needs of a pool, and what a run buys as it is."""
    from workers.strategies import strategies  # noqa: PLC0415 - loads all of them

    found = {name: strategies.build(name) for name in strategies.describe()}
    if as_json:
        print(json.dumps({name: {"needs": sorted(one.needs), "spends": one.spends, "about": _about(one)} for name, one in found.items()}, indent=2))
        return
    table = Table("name", "spends", "needs", "about")
    for name, one in found.items():
        table.add_row(name, one.spends, ", ".join(sorted(one.needs)), _about(one))
    out.print(table)


@app.command(rich_help_panel=LEARN)
def replay(
    decision_id: Annotated[str, typer.Argument(help="Of a decision of a tenant whose retention is `full`.")],
    as_json: Json = False,
) -> None:
    """Run the strategies of a logged decision again from what they were told, without any model."""
    from router.decisions import journals, read_log, records  # noqa: PLC0415
    from workers.replay import replayed  # noqa: PLC0415

    with _explained():
        rows = [row for row in records(read_log(*journals(_settings().data))) if row.decision_id == decision_id and row.trace]
        if not rows:
            raise ValueError(f"the log holds no trace of decision {decision_id}: only tenants with `retention: full` have them")
        found = [(row, replayed(row.trace)) for row in sorted(rows, key=lambda row: row.stage)]
    if as_json:
        stages = [{"plan": row.plan, "answer": one.answer, "stop_reason": one.stop_reason, "logged": row.outcome_answer} for row, one in found]
        print(json.dumps({"decision_id": decision_id, "stages": stages}, indent=2))
        return
    table = Table("stage", "plan", "answer", "as logged", "candidates", "why it stopped")
    for row, one in found:
        same = "yes" if (one.answer or "") == row.outcome_answer else f"no: {row.outcome_answer}"
        table.add_row(str(row.stage), row.plan, one.answer or "", same, str(len(one.candidates)), one.stop_reason)
    out.print(table)


@app.command(rich_help_panel=ASK)
@calling
def trace(
    decision_id: Annotated[str, typer.Argument(help="As answers and the log have it.")],
    *,
    service: Service,
    tenant: Annotated[
        str,
        typer.Option(
            help="Whose decision it is; the key's tenant, or `default`, if not given.", show_default=False, autocompletion=completing.tenants
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Show the compute tree of a request: stages, what was offered and why it was chosen, plans run, samples and scores, with what became of them."""
    from router.trace import trace as run  # noqa: PLC0415 - not needed by the other commands

    _run(run(decision_id, service, tenant=tenant, console=None if as_json else out))


@app.command(rich_help_panel=ASK)
def usage(  # noqa: PLR0917 - the options of the command
    tenant: Annotated[str, typer.Option(help="Whose usage.", autocompletion=completing.tenants)] = "default",
    since: Annotated[str | None, typer.Option("--from", help="First day, or moment (UTC); all there is, if not given.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option("--to", help="Day, or moment, after the last (UTC).", show_default=False)] = None,
    by: Annotated[Literal["day", "plan", "policy"], typer.Option(help="A line for each.")] = "day",
    file: Annotated[
        Path | None, typer.Option("--to-file", help="File to write, .csv or .parquet; printed, if not given.", dir_okay=False, show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a tenant used, from this router's decision log, each row counted once; the costs are the ledger's, to the micro-dollar."""
    from router.decisions import journals, log_files  # noqa: PLC0415 - not needed by the other commands
    from router.usage import By, day, shown, write  # noqa: PLC0415 - brings DuckDB
    from router.usage import as_json as told  # noqa: PLC0415
    from router.usage import usage as used  # noqa: PLC0415

    with _explained(), log_files(*journals(_settings().data)) as files:
        found = used(files, tenant, By(by), day(since) if since else None, day(until) if until else None)
        if file:
            write(found, file)
    print(told(found, tenant, By(by))) if as_json else out.print(shown(found, tenant) if not file else f"{found.num_rows} rows are in {file}")


@promote.command("begin")
def promote_begin(
    file: Annotated[Path, typer.Argument(help="YAML file of the candidate: policy, predictor, knobs.", exists=True, dir_okay=False)],
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Put a candidate into the shadow of a tenant's requests; from there it comes to a share of them, and to all, if it is better."""
    from router.promotion.state import begun  # noqa: PLC0415
    from router.settings import candidate  # noqa: PLC0415

    with _explained():
        _stood(tenant, as_json, begun(candidate(file), time.time()))


@promote.command("status")
def promote_status(tenant: Tenant = "default", as_json: Json = False) -> None:
    """Tell how far the candidate has come, why, and what the honesty guard found."""
    _stood(tenant, as_json)


@promote.command("stop")
def promote_stop(tenant: Tenant = "default", as_json: Json = False) -> None:
    """Take the candidate back: what is configured decides again, within a second, on every router."""
    _stood(tenant, as_json, None, stop=True)


def _stood(tenant: str, as_json: bool, begins: Any = None, *, stop: bool = False) -> None:  # noqa: ANN401 - a Promotion, loaded late
    """Change a promotion if asked to, in the Redis that the service uses, and print how it stands."""
    from router.promotion.keeper import changed  # noqa: PLC0415 - brings the service
    from router.promotion.show import show  # noqa: PLC0415

    found = _run(changed(_settings(), tenant, begins, stop=stop))
    print(json.dumps(found.told(), indent=1)) if as_json else show(tenant, found, out)


@config.command("show")
def config_show(as_json: Json = False) -> None:
    """Print the settings as they are in force."""
    told = masked(_settings().model_dump_json(indent=2))
    print(told) if as_json else out.print(json.loads(told))


@config.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="YAML file to check.", exists=True, dir_okay=False)], as_json: Json = False) -> None:
    """Check a settings file without starting anything; exits with 5 if it is wrong."""
    settings = _settings(config=file)
    print(json.dumps({"valid": True, "plans": list(settings.plans)})) if as_json else out.print(f"{file} is in order: {len(settings.plans)} plans")


async def _serve(settings: Settings) -> None:
    from router.app import service, settled  # noqa: PLC0415 - brings the whole service

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.server.processes > 1:
        await _serve_many(settings, stop)
        return
    err.print("Starting ...")
    async with service(settings) as running:
        settled()
        for name, where in running.parts.items():
            err.print(f"  {name:<14}{where}", highlight=False)
        err.print(f"[bold green]Ready.[/bold green] Try:  rheostat ask --address {running.address} '{_EXAMPLE}'", highlight=False)
        await running.serve_until(stop, settings.server.drain_delay, settings.server.grace)
        err.print("Drained.")


async def _serve_many(settings: Settings, stop: asyncio.Event) -> None:
    from router.processes import processes  # noqa: PLC0415 - brings the whole service

    hang_up = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up.set)
    err.print(f"Starting {settings.server.processes} routers ...")
    async with processes(settings) as (address, replicas):
        err.print(f"Ready at {address}. SIGHUP renews them, one after the other.", highlight=False)
        while not stop.is_set():
            waiting = [asyncio.create_task(one.wait()) for one in (stop, hang_up)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            if hang_up.is_set() and not stop.is_set():
                hang_up.clear()
                await _renew(replicas)
    err.print("Drained.")


async def _renew(replicas: "Sequence[Replica]") -> None:
    """One after the other; where one does not begin to serve, those that are there go on as they are."""
    try:
        for replica in replicas:
            await replica.renew()
    except RouterError as error:
        err.print(f"[red]Not renewed: {error.message}[/red]")
        return
    err.print("Renewed.")


def _about(plugin: object) -> str:
    """The first sentence of a plug-in's docstring."""
    return (inspect.getdoc(plugin) or "").split("\n")[0]


def _heads(facts: Mapping[str, Any]) -> Table:
    table = Table("head", "rows", "base rate", "AUC", "Brier", "calibration error", title="On rows held out")
    heads = {"belief in an answer": facts["belief"], **{f"{plan}, first": figures for plan, figures in facts["start"].items()}}
    for name, figures in heads.items():
        table.add_row(name, *(str(figures.get(column, "")) for column in ("rows", "base_rate", "auc", "brier", "ece")))
    return table


def main() -> None:
    """Entry point."""
    write_logs()
    app()


if __name__ == "__main__":
    main()
