"""The Helm chart: Helm lints and renders it, and Kubernetes' schemas accept every object.

KEDA's own objects have no schema here: their fields are compared with KEDA's documentation by hand.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from study_helpers import StudyHarness
from test_deployment import known_options, resolve

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this machine")
schemas = pytest.importorskip("kubernetes_validate")

CHART = Path(__file__).parent.parent / "deploy" / "helm"
VERSIONS = ("1.29", "1.33")  # the oldest that the chart allows, and a recent one
SCALED = {"scaling": {"enabled": True}}
JOBS = {"worker": {"kind": "Job"}}
CASES = {
    "default": {},
    "scaled": SCALED,
    "jobs": JOBS,
    "scaled jobs": SCALED | JOBS,
    "own": {"database": {"host": "db"}},
}
CASES["own"]["postgres"] = {"enabled": False}

Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def render() -> Iterator[Callable[..., Objects]]:
    """Return a function that renders the chart as ``helm install lab --namespace lab`` would."""
    with helm.Chart.load(CHART) as chart:

        def objects(values: dict[str, Any] | None = None) -> Objects:
            files = chart.render(copy.deepcopy(values or {}), name="lab", namespace="lab").values()
            return [found for text in files for found in yaml.safe_load_all(text) if found]

        yield objects


def pod_of(owner: dict[str, Any]) -> dict[str, Any] | None:
    spec = owner.get("spec", {})
    template = spec.get("template") or spec.get("jobTargetRef", {}).get("template")
    return template and template["spec"]


def pods(objects: Objects) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield name, pod and container of every workload; each has one container."""
    for owner in objects:
        if pod := pod_of(owner):
            (container,) = pod["containers"]
            yield owner["metadata"]["name"].removeprefix("lab-"), pod, container


def one(objects: Objects, kind: str, name: str = "") -> dict[str, Any]:
    (found,) = [owner for owner in objects if owner["kind"] == kind and owner["metadata"]["name"].endswith(name)]
    return found


def test_helm_finds_no_error() -> None:
    found = helm.lint(CHART)
    assert found["errors"] == []
    # Only information: a chart without an icon.
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("case", CASES)
def test_kubernetes_schemas_accept_every_object(render: Callable[..., Objects], case: str) -> None:
    objects = render(CASES[case])
    for version in VERSIONS:
        for found in objects:
            if not found["apiVersion"].startswith("keda.sh/"):
                schemas.validate(found, version, strict=True)
            elif "jobTargetRef" in found["spec"]:
                job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}
                schemas.validate(job | {"spec": found["spec"]["jobTargetRef"]}, version, strict=True)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"worker": {"kinds": "Job"}}, "'kinds' not allowed"),
        ({"worker": {"kind": "Pod"}}, "'Deployment', 'Job'"),
        ({"studies": []}, "minItems"),
        ({"studies": ["--storage"]}, "does not match pattern"),
        ({"worker": {"gpus": -1}}, "minimum"),
        ({"worker": {"memory": "much"}}, "does not match pattern"),
        ({"artifacts": {"url": "/artifacts"}}, "does not match pattern"),
        ({"scaling": {"enabled": "yes"}}, "want boolean"),
        ({"replicas": 3}, "'replicas' not allowed"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(
    render: Callable[..., Objects], values: dict[str, Any], says: str
) -> None:
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    assert says in str(caught.value)


def test_a_digest_counts_in_place_of_the_tag(render: Callable[..., Objects]) -> None:
    digest = f"sha256:{'0' * 64}"
    images = {pod["image"] for _, _, pod in pods(render({"image": {"digest": digest, "tag": "9"}}))}
    assert images == {f"venation@{digest}", "postgres:17"}
    assert {pod["image"] for _, _, pod in pods(render({"image": {"tag": "9"}}))} == {"venation:9", "postgres:17"}


@pytest.mark.parametrize("case", CASES)
def test_no_pod_has_more_rights_than_it_needs(render: Callable[..., Objects], case: str) -> None:
    objects = render(CASES[case])
    assert "Secret" not in {found["kind"] for found in objects}
    for name, pod, container in pods(objects):
        assert pod["automountServiceAccountToken"] is False, name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == (999 if name == "postgres" else 1000)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], name


@pytest.mark.parametrize("case", CASES)
def test_every_reference_and_command_exists(render: Callable[..., Objects], case: str) -> None:
    objects = render(CASES[case])
    existing = {(found["kind"], found["metadata"]["name"]) for found in objects}
    expected = {"dashboard", "metrics", "db-init", "postgres"} - ({"postgres"} if case == "own" else set())
    found = {name for name, _, _ in pods(objects)}
    assert found - {"worker", "worker-1"} == expected and found - expected
    for name, pod, container in pods(objects):
        claims = {"database"} if name == "postgres" else set()
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claims, name
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in existing
            assert volume.get("secret", {"secretName": "venation"})["secretName"] == "venation"
        for source in container.get("envFrom", []):
            assert ("ConfigMap", source["configMapRef"]["name"]) in existing
        if name != "postgres":
            command, rest = resolve(container["args"])
            assert {word for word in rest if word.startswith("--")} <= known_options(command), rest


def test_services_and_policies_select_the_pods(render: Callable[..., Objects]) -> None:
    objects = render(SCALED)
    labels = {
        owner["metadata"]["name"]: owner["spec"]["template"]["metadata"]["labels"] for owner in objects if pod_of(owner)
    }
    ports = {name: {port["name"] for port in container.get("ports", [])} for name, _, container in pods(objects)}
    services = [owner for owner in objects if owner["kind"] == "Service"]
    assert sorted(service["metadata"]["name"] for service in services) == [
        "lab-dashboard",
        "lab-metrics",
        "lab-postgres",
    ]
    for service in services:
        name = service["metadata"]["name"]
        assert service["spec"]["selector"] == labels[name]
        assert {port["name"] for port in service["spec"]["ports"]} <= ports[name.removeprefix("lab-")]
    database = one(objects, "NetworkPolicy", "-postgres")["spec"]
    assert database["podSelector"]["matchLabels"] == labels["lab-postgres"]
    clients, scaler = database["ingress"][0]["from"]
    names = {name["app.kubernetes.io/name"] for name in labels.values()}
    assert set(clients["podSelector"]["matchExpressions"][0]["values"]) == names - {"postgres"}
    assert scaler == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert one(objects, "NetworkPolicy", "-refuse")["spec"]["policyTypes"] == ["Ingress"]


def test_venation_reads_the_configuration(
    render: Callable[..., Objects], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from venation.storage.urls import resolve_url

    settings = one(render(), "ConfigMap")["data"]
    (tmp_path / "password").write_text("pw")
    monkeypatch.setenv("VENATION_STORAGE", settings["VENATION_STORAGE"])
    monkeypatch.setenv("VENATION_STORAGE_PASSWORD_FILE", str(tmp_path / "password"))
    expected = "postgresql+psycopg2://venation:pw@lab-postgres.lab.svc:5432/venation?sslmode=disable"
    assert resolve_url(None) == expected
    server = one(render(), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    environment = {variable["name"]: variable["value"] for variable in server["env"]}
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == ("venation", "venation")
    assert environment["POSTGRES_PASSWORD_FILE"] == settings["VENATION_STORAGE_PASSWORD_FILE"]


def test_workers_have_their_gpus_and_time_to_hand_their_trial_back(render: Callable[..., Objects]) -> None:
    for case in CASES.values():
        for name, pod, container in pods(render(case)):
            limits = container.get("resources", {}).get("limits", {})
            if not name.startswith("worker"):
                assert "nvidia.com/gpu" not in limits
                continue
            assert limits["nvidia.com/gpu"] == 1
            arguments = container["args"]
            assert pod["terminationGracePeriodSeconds"] > float(arguments[arguments.index("--drain") + 1])
            stays = case.get("worker", {}).get("kind") != "Job"
            assert ("--until-idle" in arguments) is not stays and ("livenessProbe" in container) is stays
    worker = {"worker": {"gpus": 0, "args": ["--device", "cpu"]}, "studies": ["soy", "soy-veins"]}
    container = pod_of(one(render(worker), "Deployment", "-worker"))["containers"][0]  # type: ignore[index]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert container["args"][:3] == ["worker", "soy", "soy-veins"] and container["args"][-2:] == ["--device", "cpu"]


def test_keda_scales_the_workers_by_the_database(render: Callable[..., Objects]) -> None:
    """Field names as in the documentation of ScaledObject, ScaledJob and the PostgreSQL scaler."""
    deployment = render(SCALED)
    assert "replicas" not in one(deployment, "Deployment", "-worker")["spec"]
    scaled = one(deployment, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"] == {"name": "lab-worker"} and scaled["cooldownPeriod"] == 300
    jobs = render(SCALED | JOBS)
    assert not [owner for owner in jobs if owner["metadata"]["name"].startswith("lab-worker-")]
    assert one(jobs, "ScaledJob")["spec"]["jobTargetRef"]["template"]["spec"]["restartPolicy"] == "Never"
    authentication = one(deployment, "TriggerAuthentication")
    (secret,) = authentication["spec"]["secretTargetRef"]
    assert secret == {"parameter": "password", "name": "venation", "key": "postgres_password"}
    for spec in (scaled, one(jobs, "ScaledJob")["spec"]):
        assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["pollingInterval"]) == (0, 8, 30)
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "postgresql"
        assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
        place = {"host": "lab-postgres.lab.svc", "port": "5432", "userName": "venation", "dbName": "venation"}
        assert trigger["metadata"] == place | {
            "sslmode": "disable",
            "targetQueryValue": "1",
            "query": trigger["metadata"]["query"],
        }


@pytest.mark.slow
def test_the_scaler_counts_unfinished_trials(render: Callable[..., Objects], harness: StudyHarness) -> None:
    from optuna.trial import TrialState
    from sqlalchemy import text

    from venation.leases.claim import claim
    from venation.leases.suspension import suspend_study

    def unfinished(*studies: str) -> int:
        (trigger,) = one(render(SCALED | {"studies": list(studies)}), "ScaledObject")["spec"]["triggers"]
        with harness.storage.engine.connect() as connection:
            return int(connection.scalar(text(trigger["metadata"]["query"].replace(":", r"\:"))))

    handle = harness.create("soy", trials=4)
    harness.create("oak", trials=3)
    harness.create("timed", trials=None, timeout=3600.0)
    assert (unfinished("soy"), unfinished("soy", "oak"), unfinished("none")) == (4, 7, 0)
    # Its first trial waits, and without a number of trials there may be as many more as workers.
    assert unfinished("timed") == 1 + 8
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    assert unfinished("soy") == 3
    assert claim(handle, max_losses=3) is not None
    assert unfinished("soy") == 3  # a running trial keeps its worker
    with harness.storage.engine.begin() as connection:
        suspend_study(connection, handle.id, "no data")
    assert unfinished("soy") == 1  # the running trial of a paused study ends
    harness.sql(
        "INSERT INTO study_user_attributes (study_id, key, value_json)"
        " SELECT study_id, 'started', '1' FROM studies WHERE study_name = 'timed'"
    )
    assert unfinished("timed") == 1  # its time is over: no further trial begins
