"""Kubernetes: what kustomize renders is in order by the published schemas, hangs together, and has settings that exist."""

import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.server import SERVICE as ROUTER
from router.settings import Settings
from workers.server import SERVICE as WORKER

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PLACES = {"base": KUBERNETES / "base"} | {place.name: place for place in sorted((KUBERNETES / "overlays").iterdir())}
CUSTOM = {"ScaledObject", "RayService"}
"""Kinds that are no part of Kubernetes: their pods, references and queries are looked at one by one."""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize in it, is not installed")
each = pytest.mark.parametrize("place", PLACES)
Object = dict[str, Any]


@cache
def rendered(place: str) -> list[Object]:
    done = subprocess.run(["kubectl", "kustomize", str(PLACES[place])], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of(place: str, *kinds: str) -> list[Object]:
    return [one for one in rendered(place) if one["kind"] in kinds]


def named(place: str, kind: str, name: str) -> Object:
    (found,) = [one for one in of(place, kind) if one["metadata"]["name"] == name]
    return found


def pods(place: str) -> list[tuple[str, Object]]:
    """The templates of all pods, by the names of what makes them."""
    found = []
    for one in rendered(place):
        name, spec = one["metadata"]["name"], one.get("spec", {})
        if one["kind"] == "CronJob":
            found.append((name, spec["jobTemplate"]["spec"]["template"]))
        elif one["kind"] == "RayService":
            cluster = spec["rayClusterConfig"]
            groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
            found += [(f"{name}-{number}", group["template"]) for number, group in enumerate(groups)]
        elif "template" in spec:
            found.append((name, spec["template"]))
    return found


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@each
def test_every_manifest_is_in_order(place: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    seen = set()
    for one in rendered(place):
        if one["kind"] not in CUSTOM:
            validate.validate(one, "1.37", strict=True)
        seen.add(one["kind"])
    for _, template in pods(place):
        validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", **template["metadata"]}, "spec": template["spec"]}, "1.37", strict=True
        )
    assert {"StatefulSet", "Service", "NetworkPolicy", "CronJob", "PodDisruptionBudget", "ServiceAccount", "ConfigMap"} <= seen


def test_a_validator_sees_what_is_wrong() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}, "spec": {"prots": []}}
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, "1.37", strict=True)


@each
def test_settings_exist_and_serve(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = [one for one in of(place, "ConfigMap") if one["metadata"]["name"].startswith("rheostat-settings-")]
    assert len(maps) == 1
    file = tmp_path / "settings.yaml"
    file.write_text(maps[0]["data"]["settings.yaml"])
    for _, template in pods(place):
        for container in containers(template):
            with monkeypatch.context() as env:
                for one in container.get("env", []):
                    if one["name"].startswith("RHEOSTAT_") and one["name"] not in ("RHEOSTAT_LOG", "RHEOSTAT_CONFIG"):
                        env.setenv(one["name"], one.get("value", "redis://somewhere").replace("$(POD_NAME)", "rheostat-router-0"))
                settings = Settings(config=file).served()
            assert settings.telemetry.prometheus.endswith(":9464")
            assert settings.server.address.endswith(":50051")


@each
def test_names_that_are_referred_to_are_there(place: str) -> None:
    brought = {"base": {"rheostat-redis"}, "production-gpu": {"rheostat-redis", "rheostat-tls", "rheostat-models"}, "ray": {"rheostat-redis"}}
    there = {one["metadata"]["name"] for one in rendered(place)} | brought.get(place, set())
    for _, template in pods(place):
        spec = template["spec"]
        wanted = {spec["serviceAccountName"]} if "serviceAccountName" in spec else set()
        for volume in spec.get("volumes", ()):
            wanted |= {
                volume[kind][key]
                for kind, key in (("configMap", "name"), ("secret", "secretName"), ("persistentVolumeClaim", "claimName"))
                if kind in volume
            }
        for container in containers(template):
            wanted |= {one["valueFrom"]["secretKeyRef"]["name"] for one in container.get("env", []) if "secretKeyRef" in one.get("valueFrom", {})}
            assert {mount["name"] for mount in container["volumeMounts"]} <= {one["name"] for one in spec.get("volumes", [])} | {"data"}
        assert wanted <= there
    for one in of(place, "HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        assert "replicas" not in named(place, target["kind"], target["name"])["spec"] or target["kind"] == "Deployment"
    targets = [str(one["spec"]["scaleTargetRef"]) for one in of(place, "HorizontalPodAutoscaler", "ScaledObject")]
    assert len(set(targets)) == len(targets), "two that scale one thing undo each other's work"


@each
def test_selectors_find_pods(place: str) -> None:
    labels = [template["metadata"]["labels"] for _, template in pods(place)]

    def found(selector: Object) -> bool:
        return any(selector.items() <= one.items() for one in labels)

    for one in of(place, "Service"):
        assert found(one["spec"]["selector"]), one["metadata"]["name"]
    for one in of(place, "PodDisruptionBudget"):
        assert found(one["spec"]["selector"]["matchLabels"]), one["metadata"]["name"]
    for one in of(place, "NetworkPolicy"):
        assert found(one["spec"]["podSelector"]["matchLabels"]), one["metadata"]["name"]
    assert all(one["app.kubernetes.io/part-of"] == "rheostat" for one in labels), "else nothing is denied them"


@each
def test_pods_can_do_no_more_than_they_have_to(place: str) -> None:
    for name, template in pods(place):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert spec.get("automountServiceAccountToken") is False or name == "rheostat-ray-0"  # Ray's autoscaler asks Kubernetes for pods
        for container in containers(template):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert re.search(r":v?\d+\.\d+", container["image"]), "a tag that does not move"


@each
def test_a_pod_ends_later_than_it_drains(place: str) -> None:
    """Before the end come the pause in which clients learn of it, word of it, and what calls under way are given."""
    (settings,) = [yaml.safe_load(one["data"]["settings.yaml"]) for one in of(place, "ConfigMap") if "settings.yaml" in one["data"]]
    server = settings["server"]
    for name, template in pods(place):
        main = template["spec"]["containers"][0]
        if main["name"] in ("router", "worker"):
            pause = main["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert pause + server["drain_delay"] + server["grace"] < template["spec"]["terminationGracePeriodSeconds"], name
            assert main["livenessProbe"]["periodSeconds"] * main["livenessProbe"]["failureThreshold"] > server["drain_delay"] + 10


@each
def test_probes_ask_for_services_that_are_there_where_they_can_be_asked(place: str) -> None:
    """gRPC probes know no TLS; and whether a process lives depends on nobody else, so that is asked of no service."""
    (settings,) = [yaml.safe_load(one["data"]["settings.yaml"]) for one in of(place, "ConfigMap") if "settings.yaml" in one["data"]]
    server = settings["server"]
    plain = {"router": [server["private"] if "tls" in server else server["address"]], "worker": ["0.0.0.0:50052"]}
    for _, template in pods(place):
        for main in template["spec"]["containers"]:
            if main["name"] not in plain:
                continue
            for kind, service in (("startupProbe", True), ("readinessProbe", True), ("livenessProbe", False)):
                probe = main[kind]["grpc"]
                assert plain[main["name"]] == [f"0.0.0.0:{probe['port']}"]
                assert probe.get("service") == ({"router": ROUTER, "worker": WORKER}[main["name"]] if service else None)
                assert probe["port"] in {one["containerPort"] for one in main["ports"]}
            if main["name"] == "worker":
                assert main["args"] == ["work", "--address", "0.0.0.0:50052"]


@pytest.mark.parametrize("place", ["base", "demo-cpu", "production-gpu"])
def test_routers_find_workers_by_a_headless_name(place: str) -> None:
    (settings,) = [yaml.safe_load(one["data"]["settings.yaml"]) for one in of(place, "ConfigMap") if "settings.yaml" in one["data"]]
    name, _, port = settings["worker"]["address"].removeprefix("dns:///").partition(":")
    service = named(place, "Service", name)
    assert service["spec"]["clusterIP"] == "None"
    assert [one["port"] for one in service["spec"]["ports"]] == [int(port)]
    (worker,) = [template for made, template in pods(place) if made == "rheostat-worker"]
    assert service["spec"]["selector"].items() <= worker["metadata"]["labels"].items()


@each
def test_nothing_is_reached_that_no_policy_names(place: str) -> None:
    policies = of(place, "NetworkPolicy")
    (deny,) = [one["spec"] for one in policies if one["metadata"]["name"] == "rheostat-default-deny"]
    assert deny["podSelector"]["matchLabels"] == {"app.kubernetes.io/part-of": "rheostat"}
    assert "ingress" not in deny
    opened = {port["port"] for one in policies for rule in one["spec"].get("ingress", []) for port in rule.get("ports", [])}
    listened = {port["containerPort"] for _, template in pods(place) for one in containers(template) for port in one.get("ports", [])}
    assert opened <= listened | {9000, 8265}
    assert 50050 not in opened, "plain text, for the node's probes alone"


def test_what_keda_asks_are_our_metrics() -> None:
    """That the queries themselves give an answer is asked of a real Prometheus, with those of the dashboards (test_watching)."""
    for one in of("production-gpu", "ScaledObject"):
        assert one["apiVersion"] == "keda.sh/v1alpha1"
        assert 2 <= one["spec"]["minReplicaCount"] <= one["spec"]["fallback"]["replicas"] <= one["spec"]["maxReplicaCount"]
        for trigger in one["spec"]["triggers"]:
            assert trigger["type"] in ("cpu", "prometheus")
            if trigger["type"] == "prometheus":
                assert trigger["metricType"] in ("Value", "AverageValue")
                assert float(trigger["metadata"]["threshold"]) > 0
                assert trigger["metadata"]["serverAddress"].startswith("http://")
    behaviours = [one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] for one in of("production-gpu", "ScaledObject")]
    validate = pytest.importorskip("kubernetes_validate")
    for behaviour in behaviours:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "one"}
        scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "one"}}
        validate.validate(scaler | {"spec": {"scaleTargetRef": target, "maxReplicas": 2, "behavior": behaviour}}, "1.37", strict=True)


def test_ray_serves_the_workers_own_application() -> None:
    (service,) = of("ray", "RayService")
    cluster = service["spec"]["rayClusterConfig"]
    assert re.search(rf"\bray\[[\w,]+\]=={re.escape(cluster['rayVersion'])}", (ROOT / "pyproject.toml").read_text())
    serve = yaml.safe_load(service["spec"]["serveConfigV2"])
    assert serve == yaml.safe_load((ROOT / "deploy" / "ray" / "serve.yaml").read_text())
    for function in serve["grpc_options"]["grpc_servicer_functions"]:
        module, _, name = function.rpartition(".")
        assert hasattr(__import__(module, fromlist=[name]), name)
    (application,) = serve["applications"]
    assert application["route_prefix"], "without one the ingress answers NOT_FOUND"
    assert find_spec(application["import_path"].partition(":")[0])
    (settings,) = [yaml.safe_load(one["data"]["settings.yaml"]) for one in of("ray", "ConfigMap")]
    assert settings["worker"]["address"] == f"ray://{service['metadata']['name']}-head-svc:8265"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert not [one for one in rendered("ray") if one["metadata"]["name"].startswith("rheostat-worker")]
