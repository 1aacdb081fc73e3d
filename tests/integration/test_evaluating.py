"""Judging policies by the log of a running service: by RPC and from the command line."""

import json
from pathlib import Path

import grpc
import pytest
import yaml
from rheostat.v1 import evaluation_pb2, query_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import Service, service
from router.settings import Choice, Settings, WorkerSettings
from router.terms import TenantSettings
from router.types import Knobs, Message, Query, Reward, Task
from tests.integration.conftest import POOLS
from tests.integration.test_cli import output

TRUTH = {"quick": 0.9, "long": 0.3}
KNOBS = Knobs(value=1_000.0, exploration=1.0, max_stages=1)


@pytest.fixture
def configured(settings: Settings, worker: str) -> Settings:
    """The prior's forecasts, and a caller who carries plans out and reports what came of them."""
    own = {"worker": WorkerSettings(address=worker, pools=POOLS.pools), "predictor": Choice(name="prior")}
    terms = TenantSettings(cache=False, value=1_000.0, max_stages=1)
    return settings.model_copy(update={**own, "tenants": {"default": terms, "other": terms}})


async def practised(running: Service, count: int) -> None:
    for number in range(count):
        query = Query(id=str(number), messages=(Message(content=f"Calculate {number} + 4."),), task=Task.MATH, seed=number, knobs=KNOBS)
        planned = await running.pipeline.plan(query)
        if planned.decision.plan:
            right = (number % 10) / 10 < TRUTH[planned.decision.plan]
            await running.pipeline.report(Reward(decision_id=planned.decision_id, value=float(right), source="verifier", at=1.0), "default")


async def test_by_rpc_and_by_command(configured: Settings, tmp_path: Path) -> None:
    async with service(configured) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        await practised(running, 200)
        only = query_pb2.Knobs(plans=["quick"], exploration=0.0)
        found = await stub.EvaluatePolicy(evaluation_pb2.EvaluatePolicyRequest(knobs=only), timeout=60)
        ours = found.estimates[0]
        assert ours.quality.low < TRUTH["quick"] < ours.quality.high
        assert ours.effective_decisions > 50
        best = next(one for one in found.estimates if one.name.startswith("always quick"))
        assert abs(best.ahead_microdollars.value) < 1e-6
        assert found.policy == "allocator-2"

        turned = await stub.PreviewKnob(evaluation_pb2.PreviewKnobRequest(knob="value", values=[10.0, 1e6], knobs=only), timeout=60)
        assert [point.at for point in turned.points] == [10.0, 1e6]
        assert turned.now == 1_000.0
        assert {one.name for one in turned.constants} == {"quick", "long"}

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.EvaluatePolicy(evaluation_pb2.EvaluatePolicyRequest(tenant="other"), timeout=60)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.EvaluatePolicy(evaluation_pb2.EvaluatePolicyRequest(knobs=query_pb2.Knobs(policy="nosuch")), timeout=60)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.PreviewKnob(evaluation_pb2.PreviewKnobRequest(knob="seed"), timeout=60)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await from_the_command_line(configured, tmp_path)


async def from_the_command_line(configured: Settings, tmp_path: Path) -> None:
    """The same log, with no service running."""
    config, file, plot = tmp_path / "settings.yaml", tmp_path / "candidate.yaml", tmp_path / "curve.png"
    config.write_text(configured.model_dump_json(exclude={"config"}))
    env = {"RHEOSTAT_CONFIG": str(config)}
    file.write_text(yaml.safe_dump({"knobs": {"plans": ["quick"], "exploration": 0.0}}))
    code, out, err = await output("evaluate", "--policy", str(file), "--json", env=env)
    assert code == 0, err
    assert json.loads(out)["estimates"]["this policy"]["quality"]["value"] == pytest.approx(TRUTH["quick"], abs=0.1)
    code, out, err = await output("what-if", "value", "--at", "10", "--at", "1e6", "--plot", str(plot), env=env)
    assert code == 0, err
    assert "always quick" in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    file.write_text("policy: {name: nosuch}")
    code, out, err = await output("evaluate", "--policy", str(file), env=env)
    assert (code, out) == (5, "")
    assert "no plug-in 'nosuch'" in err
