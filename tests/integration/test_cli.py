"""The command line as people use it: other processes, real signals."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router.settings import ServerSettings, Settings, WorkerSettings
from workers.reasoner.workload import problems

QUESTION = next(problems("test", 1, families=("stories",), levels=range(1, 2)))


async def rheostat(*words: str, env: dict[str, str] | None = None) -> Process:
    """A command under way."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (env or {})
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "router", *words, stdout=PIPE, stderr=PIPE, env=environment)


async def output(*words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    process = await rheostat(*words, env=env)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def serving(config: Path) -> AsyncIterator[tuple[Process, str]]:
    """`rheostat serve`, once it is ready, and its address."""
    process = await rheostat("serve", env={"RHEOSTAT_CONFIG": str(config)})
    assert process.stderr
    address = ""
    try:
        async with asyncio.timeout(60):
            while not (line := (await process.stderr.readline()).decode()).startswith("Ready"):
                assert line, "serve ended before it was ready"
                address = line.split()[-1] if line.strip().startswith("gRPC") else address
        yield process, address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()  # closes its pipes


@pytest.fixture
def config(settings: Settings, worker: str, tmp_path: Path) -> Path:
    file = tmp_path / "settings.yaml"
    given = {"worker": WorkerSettings(address=worker, pools=settings.worker.pools), "server": ServerSettings(address="127.0.0.1:0", drain_delay=0.0)}
    file.write_text(settings.model_copy(update=given).model_dump_json(exclude={"config"}))
    return file


async def test_serve_answers_and_drains_on_a_signal(config: Path) -> None:
    async with serving(config) as (process, address):
        code, out, err = await output("ask", QUESTION.question, "--address", address, "--plan", "long", "--json")
        assert code == 0, err
        events = [json.loads(line) for line in out.splitlines()]
        assert events[0]["stage"]["decision"]["plan"] == "long"
        assert events[-1]["final"]["answer"]["answer"] == QUESTION.answer
        asking = await rheostat("ask", QUESTION.question, "--address", address, "--plan", "long", "--json")
        assert asking.stdout
        await asking.stdout.readline()  # its first stage: the question is being worked on
        process.send_signal(signal.SIGTERM)
        rest, _ = await asking.communicate()
        assert json.loads(rest.splitlines()[-1])["final"]["answer"]["answer"] == QUESTION.answer
        _, said = await process.communicate()
        assert b"Drained" in said
        assert process.returncode == 0


async def test_trace_and_usage_tell_what_became_of_a_request(config: Path, tmp_path: Path) -> None:
    env, file = {"RHEOSTAT_CONFIG": str(config)}, tmp_path / "used.csv"
    async with serving(config) as (_, address):
        _, out, _ = await output("ask", QUESTION.question, "--address", address, "--plan", "quick", "--json")
        final = json.loads(out.splitlines()[-1])["final"]
        code, tree, err = await output("trace", final["decision_id"], "--address", address)
        assert (code, err) == (0, "")
        assert "quick: gave" in tree
        told = json.loads((await output("trace", final["decision_id"], "--address", address, "--json"))[1])
        assert [stage["plan"] for stage in told["stages"]] == ["quick", ""]
        assert (await output("trace", "none-such", "--address", address))[0] == 6
        code, out, err = await output("usage", "--by", "plan", "--json", env=env)
        assert json.loads(out)["total"]["cost_microdollars"] == int(final["receipt"]["usage"]["cost_microdollars"]), err
    code, out, err = await output("usage", "--from", "2020-01-01", "--to-file", str(file), env=env)
    assert (code, file.read_text().splitlines()[0].split(",")[0]) == (0, '"day"'), err
    for wrong, number, why in ((("--by", "week"), 2, "week"), (("--from", "lately"), 5, "no date"), (("--to-file", "x.txt"), 5, ".parquet")):
        code, _, err = await output("usage", *wrong, env=env)
        assert code == number
        assert why in err


async def test_ask_shows_stages_and_receipt_and_says_what_is_wrong(config: Path) -> None:
    async with serving(config) as (_, address):
        code, out, _ = await output("ask", QUESTION.question, "--address", address, "--plan", "quick")
        assert code == 0
        assert "1. buy quick" in out
        assert "micro-dollars" in out
        code, _, err = await output("ask", QUESTION.question, "--address", address, "--plan", "none-such")
        assert code == 6
        assert "UNKNOWN_PLAN" in err
        assert "Next: Take one of the plans" in err
        assert "Traceback" not in err


async def test_settings_are_checked_and_shown(config: Path, tmp_path: Path) -> None:
    code, out, _ = await output("config", "check", str(config), "--json")
    assert (code, json.loads(out)["valid"]) == (0, True)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("server: {adress: nowhere}")
    code, _, err = await output("config", "check", str(wrong))
    assert code == 5
    assert "server.adress" in err
    wrong.write_text("tenants: {acme: {floor: 0.9, cap: 500}}")
    code, _, err = await output("config", "check", str(wrong))
    assert code == 5
    assert "tenants.acme: Value error, floor and cap contradict one another" in " ".join(err.split())
    code, out, _ = await output("config", "show", "--json", env={"RHEOSTAT_CACHE__SECONDS": "7"})
    assert json.loads(out)["cache"]["seconds"] == 7.0


async def test_plugins_are_listed() -> None:
    code, out, _ = await output("plugins", "--json")
    assert code == 0
    found = json.loads(out)
    assert {"allocator", "fixed", "threshold"} <= set(found["policy"])
    assert {"direct", "self_consistency", "best_of_n", "beam"} <= set(found["strategy"])


async def test_retrain_without_a_log_says_what_to_do(tmp_path: Path) -> None:
    code, _, err = await output("retrain", env={"RHEOSTAT_DATA": str(tmp_path)})
    assert code == 5
    assert "report outcomes" in err


async def test_a_table_is_imported_and_learned_from(tmp_path: Path) -> None:
    """Its plans are not among the configured ones, and need not be."""
    table = tmp_path / "table.csv"
    rows = [f"Calculate {index} + 1.,{arm},{int(index % 10 < good)},{cost}" for index in range(100) for arm, good, cost in (("a", 3, 1), ("b", 8, 9))]
    table.write_text("\n".join(["query,arm,quality,cost", *rows]))
    code, out, err = await output("import", str(table), "--to", str(tmp_path / "log"), "--json")
    assert code == 0, err
    assert json.loads(out) == {"rows": 200, "queries": 100, "plans": ["a", "b"], "file": str(tmp_path / "log" / "table.parquet")}
    code, out, err = await output("retrain", "--from", str(tmp_path / "log"), "--to", str(tmp_path / "predictor"), "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["decisions"] == 200
    assert {plan: one["as_seen"] for plan, one in facts["corrected"].items()} == {
        "a": pytest.approx(0.3, abs=0.02),
        "b": pytest.approx(0.8, abs=0.02),
    }
    assert set(facts["belief"]["controls"]) == {"base rate only", "prompt length only", "shuffled"}
    assert {"manifest.json", "card.md", "card.json"} <= {path.name for path in (tmp_path / "predictor").iterdir()}


async def test_a_bad_table_or_log_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("query,arm,quality,cost\nx,a,2,1\n")
    for words in (
        ("import", str(tmp_path / "table.csv"), "--to", str(tmp_path)),
        ("retrain", "--from", str(tmp_path / "table.csv"), "--to", str(tmp_path / "p")),
    ):
        code, _, err = await output(*words)
        assert code == 5
        assert "INVALID_QUERY: " in err
        assert "Traceback" not in err


async def test_plans_come_and_go_with_the_settings_file_and_one_that_cannot_run_is_retired(config: Path) -> None:
    """`odd` asks for a verifier, which no pool has. While a file is not in order, what was read last is offered."""

    async def offered(address: str, plan: str, *, there: bool) -> None:
        """Wait until a plan can be asked for, or no more."""
        async with asyncio.timeout(30):
            while True:
                code, _, err = await output("ask", QUESTION.question, "--address", address, "--plan", plan, "--json")
                if there == (code == 0):
                    break
                assert code in (0, 6), err

    async with serving(config) as (_, address):
        settings = json.loads(config.read_text())
        quick = settings["plans"]["quick"]
        config.write_text(json.dumps(settings | {"plans": {"other": quick, "odd": {**quick, "strategy": "beam", "options": {}}}}))
        await offered(address, "other", there=True)
        await offered(address, "quick", there=False)
        config.write_text("plans: {")
        await asyncio.sleep(1.5)
        for _ in range(2):  # known at first, and then no more
            code, _, err = await output("ask", QUESTION.question, "--address", address, "--plan", "odd", "--json")
            assert (code, "UNKNOWN_PLAN" in err) == (6, True), err
        assert "no plan 'odd' is in the catalogue" in err
        await offered(address, "other", there=True)
