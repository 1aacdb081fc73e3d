"""What a flood of one tenant does to the latency of another: the aim is less than a fifth."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from rheostat.v1 import query_pb2, router_service_pb2

from router.exam import draw
from tests.load.subjects import cores, rheostat

PACE, SLOTS = 0.5, 32  # seconds a sample takes, and how many are drawn at once: 64 samples a second, which the router does with ease
RATE, FLOOD = 10.0, 128  # calls a second of the one tenant, and callers of the other who never rest
TENANTS = {"calm": {"cache": False, "exploration": 0.0}, "flood": {"cache": False, "exploration": 0.0}}


def fairness(folder: Path, seconds: float) -> dict[str, dict]:
    """The calm tenant alone, then beside the flood; and the flood."""
    for name in TENANTS:
        (folder / name).write_text(_answers(name))
    server, others = cores()
    with rheostat(folder, server, others, tenants=TENANTS, pace=PACE, slots=SLOTS) as (_, address):
        calm = _order(address, folder / "calm", rate=RATE, seconds=seconds)
        _run(calm | {"seconds": 3.0})
        alone, flood = _run(calm), {}
        flooding = threading.Thread(target=lambda: flood.update(_run(_order(address, folder / "flood", concurrency=FLOOD, seconds=seconds + 4))))
        flooding.start()
        _run(calm | {"seconds": 2.0})  # until the flood is there
        beside = _run(calm)
        flooding.join()
    return {"alone": alone, "beside the flood": beside, "flood": flood}


def _order(address: str, bodies: Path, **more: float) -> dict:
    return {"kind": "stream", "target": address, "method": "/rheostat.v1.RouterService/AnswerQuery", "bodies": str(bodies)} | more


def _run(order: dict) -> dict:
    """One order to a client of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.load.client"], input=json.dumps(order) + "\n", capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def _answers(tenant: str) -> str:
    knobs = query_pb2.Knobs(policy="fixed", plans=["nano-direct"])
    queries = (query_pb2.Query(tenant=tenant, messages=[query_pb2.Message(content=one.question)], knobs=knobs) for one in draw("train", 2, 200))
    return "\n".join(router_service_pb2.AnswerQueryRequest(query=query).SerializeToString().hex() for query in queries)
