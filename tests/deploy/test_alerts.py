"""Rules and alerts, by promtool: in order, each alert fires when it should, and all are quiet when nothing is wrong."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
ANSWERS = 'rpc_server_call_duration_seconds_count{rpc_method="rheostat.v1.RouterService/AnswerQuery",rpc_response_status_code="%s"}'
REQUESTS = "rheostat_request_duration_seconds_count"
TENANT = 'rheostat_tenant_name="acme"'
ROUTER = 'up{job="rheostat-router",instance="router-1:9464"}'

# What is seen a minute after the other, as promtool writes it, and the minute by which the alert is to fire.
FIRES: dict[str, tuple[dict[str, str], str]] = {
    "RheostatDown": ({ROUTER: "0x10"}, "5m"),
    "RheostatNoRouter": ({ROUTER: "0x10"}, "5m"),
    "RheostatFaultsFast": ({ANSWERS % "OK": "0+90x90", ANSWERS % "INTERNAL": "0+10x90"}, "70m"),
    "RheostatFaultsSlow": ({ANSWERS % "OK": "0+96x400", ANSWERS % "UNAVAILABLE": "0+4x400"}, "390m"),
    "RheostatBug": ({'rheostat_requests_rejected_total{error_type="INTERNAL"}': "_x20 1x5"}, "22m"),
    "RheostatAnswersSlow": ({REQUESTS: "0+100x40", 'rheostat_request_duration_seconds_bucket{le="10.0"}': "0+90x40"}, "30m"),
    "RheostatDecisionsSlow": (
        {f'rheostat_decision_duration_seconds_bucket{{le="{le}"}}': f"0+{count}x40" for le, count in (("0.03", 10), ("0.1", 100), ("+Inf", 100))},
        "30m",
    ),
    "RheostatOverloaded": ({REQUESTS: "0+100x20", 'rheostat_requests_rejected_total{error_type="OVERLOADED"}': "0+5x20"}, "15m"),
    "RheostatPoolBusy": ({'rheostat_pool_load{rheostat_pool_name="large"}': "2x20"}, "15m"),
    "RheostatPoolWithoutWorkers": ({'rheostat_pool_workers{rheostat_pool_name="large"}': "2x5 0x5"}, "9m"),
    "RheostatWorkersEjected": ({"rheostat_workers_ejected": "1x20"}, "15m"),
    "RheostatRedisAway": ({'rheostat_requests_degraded_total{error_type="STORE_UNAVAILABLE"}': "0+6x10"}, "5m"),
    "RheostatLogRefuses": ({'rheostat_requests_rejected_total{error_type="JOURNAL_UNAVAILABLE"}': "0+1x10"}, "5m"),
    "RheostatLogPending": ({"rheostat_journal_pending": "30000x20"}, "15m"),
    "RheostatBudgetSpent": ({f'rheostat_budget_left{{{TENANT},rheostat_budget_window="day",rheostat_budget_unit="micro-dollars"}}': "0x5"}, "3m"),
    "RheostatFloorMissed": ({f"rheostat_objective_deficit{{{TENANT}}}": "25x60"}, "40m"),
    "RheostatQualityFell": (
        {
            f"rheostat_request_reward_sum{{{TENANT}}}": "0+9x1440 12969+5x120",
            f"rheostat_request_reward_count{{{TENANT}}}": "0+10x1560",
        },
        "1540m",
    ),
    "RheostatGuardClosed": ({f"rheostat_guard_closed{{{TENANT}}}": "1x30"}, "20m"),
    "RheostatRolledBack": ({f'rheostat_promotion_standing{{{TENANT},rheostat_promotion_stage="rolled back"}}': "_x70 1x10"}, "75m"),
    "RheostatLearningBehind": ({"rheostat_learning_behind_seconds": "0+60x20"}, "15m"),
    "RheostatOutcomesDoubted": (
        {'rheostat_learning_quarantined_total{rheostat_learning_doubt="unknown source"}': "0+5x90", "rheostat_request_reward_count": "0+10x90"},
        "80m",
    ),
    "RheostatPlanChanged": ({'rheostat_learning_changes_total{rheostat_plan_id="large-best"}': "_x40 1x5"}, "42m"),
    "RheostatCredentialsRefused": ({'rheostat_requests_rejected_total{error_type="INVALID_CREDENTIALS"}': "0+600x20"}, "12m"),
}
WELL = {
    ROUTER: "1x1600",
    ANSWERS % "OK": "0+1000x1600",
    ANSWERS % "RESOURCE_EXHAUSTED": "0+100x1600",
    ANSWERS % "INTERNAL": "0+1x1600",
    REQUESTS: "0+1000x1600",
    'rheostat_request_duration_seconds_bucket{le="10.0"}': "0+990x1600",
    'rheostat_decision_duration_seconds_bucket{le="0.003"}': "0+1000x1600",
    'rheostat_decision_duration_seconds_bucket{le="+Inf"}': "0+1000x1600",
    'rheostat_pool_load{rheostat_pool_name="large"}': "0.9x1600",
    'rheostat_pool_workers{rheostat_pool_name="large"}': "2x1600",
    "rheostat_workers_ejected": "0x1600",
    "rheostat_journal_pending": "500x1600",
    f'rheostat_budget_left{{{TENANT},rheostat_budget_window="day",rheostat_budget_unit="micro-dollars"}}': "1000x1600",
    f"rheostat_objective_deficit{{{TENANT}}}": "1x1600",
    f"rheostat_request_reward_sum{{{TENANT}}}": "0+9x1600",
    f"rheostat_request_reward_count{{{TENANT}}}": "0+10x1600",
    f"rheostat_guard_closed{{{TENANT}}}": "0x1600",
    f'rheostat_promotion_standing{{{TENANT},rheostat_promotion_stage="rolled back"}}': "1x1600",
    "rheostat_learning_behind_seconds": "1x1600",
    "rheostat_learning_disbelieved": "0x1600",
    'rheostat_learning_quarantined_total{rheostat_learning_doubt="unknown source"}': "3x1600",
    'rheostat_learning_changes_total{rheostat_plan_id="large-best"}': "4x1600",
}


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: Debian has it in the package `prometheus`")
    return subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=100, check=False)


def asked(name: str, seen: dict[str, str], *times: str, firing: bool) -> dict[str, object]:
    which = f'{{alertname="{name}",alertstate="firing"}}' if firing else '{alertstate="firing"}'
    samples = [{"labels": "{}", "value": 1}] if firing else []
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in seen.items()],
        "promql_expr_test": [{"expr": f"count(ALERTS{which})", "eval_time": at, "exp_samples": samples} for at in times],
    }


def unit(tmp_path: Path, *tests: dict[str, object]) -> subprocess.CompletedProcess[str]:
    rules = [str(PROMETHEUS / name) for name in ("rules.yaml", "alerts.yaml")]
    (tmp_path / "tests.yaml").write_text(json.dumps({"rule_files": rules, "evaluation_interval": "1m", "tests": tests}))
    return promtool("test", "rules", str(tmp_path / "tests.yaml"))


def test_configuration_and_rules_are_in_order(tmp_path: Path) -> None:
    """Debian's promtool knows no discovery in Kubernetes: all else of that file is looked at."""
    cluster = yaml.safe_load((PROMETHEUS / "kubernetes.yaml").read_text())
    (job,) = cluster["scrape_configs"]
    assert [one["role"] for one in job.pop("kubernetes_sd_configs")] == ["pod"]
    cluster["rule_files"] = [str(PROMETHEUS / name) for name in cluster["rule_files"]]
    (tmp_path / "kubernetes.yaml").write_text(json.dumps(cluster))
    for words in (
        ("config", str(PROMETHEUS / "prometheus.yaml"), str(tmp_path / "kubernetes.yaml")),
        ("rules", "--lint-fatal", str(PROMETHEUS / "rules.yaml"), str(PROMETHEUS / "alerts.yaml")),
    ):
        done = promtool("check", *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should(tmp_path: Path) -> None:
    assert {rule["alert"] for rule in ALERTS} == set(FIRES)
    done = unit(tmp_path, *(asked(name, seen, at, firing=True) for name, (seen, at) in FIRES.items()))
    assert done.returncode == 0, done.stdout + done.stderr


def test_none_fires_while_all_is_well(tmp_path: Path) -> None:
    done = unit(tmp_path, asked("well", WELL, "70m", "400m", "1550m", firing=False))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_does_not_fire_is_seen(tmp_path: Path) -> None:
    assert unit(tmp_path, asked("RheostatDown", {ROUTER: "1x10"}, "5m", firing=True)).returncode != 0


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / file).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert anchor == str(rule["alert"]).lower()
