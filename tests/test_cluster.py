"""Kubernetes and Slurm files: references resolve, commands exist, and the Slurm script runs."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

ROOT = Path(__file__).parent.parent
K8S = ROOT / "deploy" / "k8s"
SLURM = ROOT / "deploy" / "slurm" / "worker.sh"


@pytest.fixture(scope="module")
def objects() -> dict[str, list[dict[str, Any]]]:
    """Return the objects of each file."""
    return {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(K8S.glob("*.yaml"))}


def applied_objects(objects: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    (kustomization,) = objects["kustomization.yaml"]
    return [found for name in kustomization["resources"] for found in objects[name]]


def pods(found: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield name, pod and container of every workload; each has one container."""
    for owner in found:
        if owner["kind"] in ("Deployment", "StatefulSet", "Job"):
            pod = owner["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            yield owner["metadata"]["name"], pod, container


def all_objects(objects: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [found for name, content in objects.items() if name != "kustomization.yaml" for found in content]


def check_command(arguments: list[str]) -> None:
    """Raise unless ``venation ARGUMENTS`` is a command with these options."""
    from venation.cli import app

    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if arguments[0] not in command.commands and hasattr(command, "default"):
            arguments = [command.default, *arguments]
        command, arguments = command.commands[arguments[0]], arguments[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= known, arguments


def test_every_file_is_applied_except_those_for_manual_use(objects: dict[str, list[dict[str, Any]]]) -> None:
    (kustomization,) = objects["kustomization.yaml"]
    by_hand = {"kustomization.yaml", "secret.example.yaml", "worker-job.yaml"}
    assert set(kustomization["resources"]) == set(objects) - by_hand
    assert objects["namespace.yaml"][0]["metadata"]["name"] == kustomization["namespace"]
    assert {image["name"] for image in kustomization["images"]} == {"venation"}
    # A file that is applied alone would refer to an image that no registry has.
    applied_alone = [path.name for path in K8S.glob("*.yaml") if "--filename" in path.read_text()]
    assert applied_alone == [] and "in place of worker.yaml in" in (K8S / "worker-job.yaml").read_text().lower()


def test_every_command_exists_with_its_options(objects: dict[str, list[dict[str, Any]]]) -> None:
    ran = [(name, container) for name, _, container in pods(all_objects(objects)) if container["image"] == "venation"]
    assert sorted(name for name, _ in ran) == ["dashboard", "db-init", "metrics", "worker", "worker"]
    for _, container in ran:
        assert all(isinstance(word, str) for word in container["args"]), container["args"]
        check_command(container["args"])


def test_every_reference_of_a_pod_exists(objects: dict[str, list[dict[str, Any]]]) -> None:
    existing = {(found["kind"], found["metadata"]["name"]) for found in all_objects(objects)}
    for name, pod, container in pods(all_objects(objects)):
        for volume in pod["volumes"]:
            kinds = {
                "secret": ("Secret", "secretName"),
                "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
            }
            for kind, (wanted, key) in kinds.items():
                assert kind not in volume or (wanted, volume[kind][key]) in existing, (name, volume)
        for source in container.get("envFrom", []):
            assert ("ConfigMap", source["configMapRef"]["name"]) in existing
        claims = {"database"} if name == "postgres" else set()
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claims, name


def test_no_pod_has_more_rights_than_it_needs(objects: dict[str, list[dict[str, Any]]]) -> None:
    for name, pod, container in pods(all_objects(objects)):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], name


def test_the_network_policies_allow_the_database_to_its_clients_only(
    objects: dict[str, list[dict[str, Any]]],
) -> None:
    policies = {found["metadata"]["name"]: found["spec"] for found in objects["network.yaml"]}
    assert policies["refuse"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    owners = [found for found in all_objects(objects) if "template" in found.get("spec", {})]
    apps = {owner["spec"]["template"]["metadata"]["labels"]["app"] for owner in owners}
    ((rule,), selector) = policies["postgres"]["ingress"], policies["postgres"]["podSelector"]
    assert selector == {"matchLabels": {"app": "postgres"}}
    (client,) = rule["from"]
    assert set(client["podSelector"]["matchExpressions"][0]["values"]) == apps - {"postgres"}
    assert set(policies["metrics"]["podSelector"]["matchExpressions"][0]["values"]) <= apps


def test_every_service_selects_its_pods_and_is_internal(objects: dict[str, list[dict[str, Any]]]) -> None:
    found = all_objects(objects)
    labels = {
        owner["metadata"]["name"]: owner["spec"]["template"]["metadata"]["labels"]
        for owner in found
        if "template" in owner.get("spec", {}) and owner["kind"] != "Job"
    }
    ports = {
        name: {port["name"] for port in container["ports"]}
        for name, _, container in pods(applied_objects(objects))
        if "ports" in container
    }
    services = [owner for owner in found if owner["kind"] == "Service"]
    assert sorted(service["metadata"]["name"] for service in services) == ["dashboard", "metrics", "postgres"]
    for service in services:
        name = service["metadata"]["name"]
        assert service["spec"]["selector"] == labels[name]
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
        assert {port.get("targetPort", port["name"]) for port in service["spec"]["ports"]} <= ports[name]


def test_venation_reads_the_configuration(
    objects: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from venation.storage.urls import resolve_url

    (config,), (secret,) = objects["config.yaml"], objects["secret.example.yaml"]
    settings = config["data"]
    for variable in ("VENATION_STORAGE_PASSWORD_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        folder, name = settings[variable].rsplit("/", 1)
        assert name in secret["stringData"]
        for _, _, container in pods(all_objects(objects)):
            if container["image"] == "venation":
                assert folder in [mount["mountPath"] for mount in container["volumeMounts"]]
    (tmp_path / "password").write_text("pw")
    monkeypatch.setenv("VENATION_STORAGE", settings["VENATION_STORAGE"])
    monkeypatch.setenv("VENATION_STORAGE_PASSWORD_FILE", str(tmp_path / "password"))
    assert resolve_url(None) == "postgresql+psycopg2://venation:pw@postgres:5432/venation"
    environment = {e["name"]: e["value"] for _, _, c in pods(all_objects(objects)) for e in c.get("env", [])}
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == ("venation", "venation")
    assert environment["POSTGRES_PASSWORD_FILE"] == settings["VENATION_STORAGE_PASSWORD_FILE"]


def test_workers_request_a_gpu_and_have_time_to_requeue_their_trial(
    objects: dict[str, list[dict[str, Any]]],
) -> None:
    workers = [(pod, container) for name, pod, container in pods(all_objects(objects)) if name == "worker"]
    assert len(workers) == 2
    for pod, container in workers:
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        drain = float(container["args"][container["args"].index("--drain") + 1])
        assert pod["terminationGracePeriodSeconds"] > drain
        (port,) = container["ports"]
        assert str(port["containerPort"]) == container["args"][container["args"].index("--metrics-port") + 1]
    assert not [name for name, _, c in pods(all_objects(objects)) if "nvidia" in str(c) and name != "worker"]


def test_long_running_pods_have_probes_and_do_not_run_as_root(
    objects: dict[str, list[dict[str, Any]]],
) -> None:
    for name, pod, container in pods(applied_objects(objects)):
        for probe_command in [container[kind]["exec"]["command"] for kind in container if "exec" in container[kind]]:
            # At first start the image runs a temporary server on its socket only.
            assert probe_command[:3] == ["pg_isready", "--host", "127.0.0.1"]
        if container["image"] == "venation":
            assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 1000
        if "ports" not in container:
            continue
        assert container["livenessProbe"], name
        probes = [container[kind] for kind in container if kind.endswith("Probe") and "httpGet" in container[kind]]
        assert {probe["httpGet"]["port"] for probe in probes} <= {port["name"] for port in container["ports"]}
        if probes:
            paths = {"/health", "/health/ready"} if name == "dashboard" else {"/metrics"}
            assert {probe["httpGet"]["path"] for probe in probes} == paths
        if name == "dashboard":
            # An outage of the database must not restart it.
            assert container["livenessProbe"]["httpGet"]["path"] == "/health"


def test_no_secret_is_in_a_file_that_is_applied(objects: dict[str, list[dict[str, Any]]]) -> None:
    assert "Secret" not in {found["kind"] for found in applied_objects(objects)}
    assert objects["secret.example.yaml"][0]["stringData"]["postgres_password"] == "CHANGE-ME"


def sbatch_options() -> dict[str, str]:
    """Return the script's sbatch options, which end at the first command."""
    options = {}
    for line in SLURM.read_text().splitlines():
        if match := re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line):
            options[match[1]] = match[2] or ""
        elif line and not line.startswith("#"):
            break
    return options


def test_the_script_is_valid_and_sets_its_slurm_options() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    assert os.access(SLURM, os.X_OK)
    options = sbatch_options()
    assert len(options) == SLURM.read_text().count("#SBATCH ")
    target, _, seconds = options["signal"].partition("@")
    assert target == "B:USR1"
    drain = re.search(r"--drain (\d+)", SLURM.read_text())
    assert drain and int(seconds) > int(drain[1])
    assert "requeue" in options and options["open-mode"] == "append" and "gpu:1" in options["gres"]
    (line,) = re.findall(r"worker \"\$@\" (.+) &$", SLURM.read_text(), re.MULTILINE)
    check_command(["worker", "soy", *line.split()])


# A fake worker that prints its arguments and signals, and takes a moment to requeue its trial.
WORKER = """#!{python} -uIS
import signal, sys, time
def stop(number, frame):
    print("received", signal.Signals(number).name)
    time.sleep(0.05)
    print("drained")
    sys.exit(0)
signal.signal(signal.SIGUSR1, stop)
signal.signal(signal.SIGTERM, stop)
print("runs", *sys.argv[1:])
code = {code}
if code is None:
    signal.pause()
sys.exit(code)
"""


@pytest.fixture
def start_task(tmp_path: Path) -> Any:
    """Return a function that runs the script as an array task.

    Its worker ends with ``code``, or waits for a signal.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*studies: str, code: int | None = None, storage: str = "postgresql://x") -> subprocess.Popen[str]:
        for name, text in (
            ("venation", WORKER.format(python=sys.executable, code=code)),
            ("scontrol", "#!/bin/bash\necho scontrol $@\n"),
        ):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        slurm = {"SLURM_JOB_ID": "70", "SLURM_ARRAY_JOB_ID": "66", "SLURM_ARRAY_TASK_ID": "3"}
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VENATION_STORAGE": storage, **slurm}
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        task = subprocess.Popen(
            ["bash", str(SLURM), *studies],
            env=environment,
            stdout=pipe,
            stderr=out,
            text=True,
            start_new_session=True,
        )
        started.append(task)
        return task

    yield start
    for task in started:
        with suppress(ProcessLookupError):
            os.killpg(task.pid, signal.SIGKILL)
        task.communicate()


def test_a_task_out_of_time_hands_its_trial_back_and_is_requeued(start_task: Any) -> None:
    task = start_task("soy", "soy-veins")
    assert task.stdout.readline() == "runs worker soy soy-veins --until-idle --drain 90\n"
    task.send_signal(signal.SIGUSR1)
    out, _ = task.communicate(timeout=60)
    assert (task.returncode, out) == (0, "received SIGUSR1\ndrained\nscontrol requeue 66_3\n")


def test_a_cancelled_task_hands_its_trial_back_and_ends(start_task: Any) -> None:
    task = start_task("soy")
    task.stdout.readline()
    task.send_signal(signal.SIGTERM)
    out, _ = task.communicate(timeout=60)
    assert (task.returncode, out) == (0, "received SIGTERM\ndrained\n")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_task_ends_with_its_workers_exit_code(start_task: Any, code: int) -> None:
    task = start_task("soy", code=code)
    out, _ = task.communicate(timeout=60)
    assert (task.returncode, out) == (code, "runs worker soy --until-idle --drain 90\n")


@pytest.mark.parametrize(
    ("studies", "storage", "says"),
    [((), "postgresql://x", "name the studies"), (("soy",), "", "VENATION_STORAGE is not set")],
)
def test_a_task_without_studies_or_storage_fails_in_one_line(
    start_task: Any, studies: tuple[str, ...], storage: str, says: str
) -> None:
    task = start_task(*studies, storage=storage)
    out, _ = task.communicate(timeout=60)
    assert task.returncode == 2 and says in out and out.count("\n") == 1
