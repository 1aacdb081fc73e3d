"""`rheostat simulate`, from a log that the real service wrote; and the simulator beside the real service."""

import json

import pytest

from router.settings import Settings
from tests.integration.door import commanded
from tests.integration.test_faults import final_of, request
from tests.scale.prediction import AIM, paced


async def test_a_log_is_played_again(stub, settings: Settings, tmp_path) -> None:
    for _ in range(5):
        await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))
    config, image = tmp_path / "settings.yaml", tmp_path / "fleet.png"
    config.write_text(settings.model_dump_json(exclude={"config"}))
    words = ("simulate", "--scales", "1,2", "--requests", "500", "--seeds", "2", "--rate", "50", "--plot", str(image))
    code, out, err = await commanded(*words, "--json", RHEOSTAT_CONFIG=str(config))
    assert code == 0, err
    found = json.loads(out)
    assert found["log"]["requests"] == 5
    assert found["log"]["plans"] == {"quick": 5}
    assert [one["name"] for one in found["fleets"]] == ["1 GPU", "1 GPU, as built", "2 GPUs", "2 GPUs, as built"]
    for one in found["fleets"]:
        mean, half = one["figures"]["answered_per_second"]
        assert mean == pytest.approx(50, rel=0.3)
        assert half >= 0
    assert image.read_bytes().startswith(b"\x89PNG")
    code, out, err = await commanded(*words[:9], RHEOSTAT_CONFIG=str(config))
    assert code == 0, err
    assert "first, at" in out


async def test_without_a_log_it_says_what_to_do(tmp_path) -> None:
    code, _, err = await commanded("simulate", RHEOSTAT_DATA=str(tmp_path))
    assert code == 5
    assert "rheostat demo" in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_simulator_comes_near_the_real_service() -> None:
    """Throughput within 15 %; times within wider bounds, for the machine may be busy. `make scale` asks for 15 % of p99, and for longer."""
    (found,) = paced(0.1, 8, 8.0, (0.8,))
    assert found["measured"]["failed"] == 0
    assert abs(found["apart"]["per_second"]) <= AIM
    assert -0.35 <= found["apart"]["p50_ms"] <= AIM
    assert -0.6 <= found["apart"]["p99_ms"] <= 2 * AIM
