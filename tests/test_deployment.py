"""Container files: commands exist, services wait for their dependencies, no secrets, no open ports.

Kubernetes: tests/test_helm.py; Slurm: tests/test_slurm_script.py.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def with_defaults(text: str) -> str:
    """Return ``text`` as compose reads it with no variable set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def resolve(arguments: list[str]) -> tuple[Any, list[str]]:
    """Return the command that ``venation ARGUMENTS`` runs, and its arguments."""
    from venation.cli import app

    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands"):
        if arguments[0] not in command.commands and hasattr(command, "default"):
            arguments = [command.default, *arguments]
        assert arguments[0] in command.commands, f"venation has no command {arguments[0]}"
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


def known_options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


def documented_commands() -> list[list[str]]:
    lines = (ROOT / "docs" / "how-to" / "deploy.md").read_text().splitlines()
    found = [re.search(r"docker compose run .*--rm db-init ([a-z].*)$", line) for line in lines]
    return [shlex.split(match.group(1), comments=True) for match in found if match]


def test_every_command_exists_with_its_options(compose: dict[str, Any]) -> None:
    commands = [
        shlex.split(with_defaults(service["command"]))
        for name, service in compose["services"].items()
        if service["image"] == "venation" and "entrypoint" not in service
    ]
    documented = documented_commands()
    assert len(commands) == 6 and len(documented) >= 8
    for arguments in commands + documented:
        command, rest = resolve(arguments)
        assert not hasattr(command, "commands"), f"{arguments} names a group"
        assert {word for word in rest if word.startswith("--")} <= known_options(command), arguments


def test_documented_commands_of_worker_machines_start_no_database(compose: dict[str, Any]) -> None:
    """A worker machine copies the first machine's `.env`, and cannot serve at that address."""
    text = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    block = text[text.index("From any of them") : text.index("The dashboard is at")]
    commands = [shlex.split(line, comments=True) for line in block.splitlines() if line.startswith("docker ")]
    assert len(commands) == 4 and "postgres" in compose["services"]["db-init"]["depends_on"]
    for words in commands:
        assert words[:4] == ["docker", "compose", "run", "--no-deps"] and "db-init" in words


def test_every_service_waits_for_its_dependencies(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["db-init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("dashboard", "worker", "worker-cpu", "metrics"):
        assert services[name]["depends_on"] == {"db-init": {"condition": "service_completed_successfully"}}, name
    check = services["postgres"]["healthcheck"]
    assert check["test"][:2] == ["CMD", "pg_isready"]
    environment = services["postgres"]["environment"]
    # At first start the image runs a temporary server on its socket only.
    assert check["test"][check["test"].index("--host") + 1] == "127.0.0.1"
    assert check["test"][-1] == environment["POSTGRES_DB"] and environment["POSTGRES_USER"] in check["test"]
    assert "restart" not in services["db-init"] and "restart" not in services["s3-bucket"]
    assert services["s3-bucket"]["depends_on"] == {"s3": {"condition": "service_healthy"}}
    # A worker machine starts only its workers.
    assert "depends_on" not in services["fleet"]


def test_optional_services_start_only_with_their_profile(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles") for name, service in compose["services"].items()}
    always = ("postgres", "db-init", "dashboard", "worker")
    assert {name for name, given in profiles.items() if given is None} == set(always)
    assert profiles["s3"] == profiles["s3-bucket"] == ["s3"] and profiles["fleet"] == ["fleet"]


def test_no_port_is_open_to_the_network(compose: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    published = [with_defaults(port) for given in ports.values() for port in given]
    assert sorted(published) == [f"127.0.0.1:{port}:{port}" for port in (5432, 8080, 9000, 9100, "9200-9215")]
    for name, option, port in (
        ("dashboard", "--port", "8080"),
        ("metrics", "--port", "9100"),
        ("fleet", "--metrics-port", "9200"),
    ):
        arguments = shlex.split(with_defaults(compose["services"][name]["command"]))
        assert arguments[arguments.index(option) + 1] == port and ports[name][0].startswith(f"127.0.0.1:{port}")


def test_no_service_has_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "/tmp" in service["tmpfs"], name
        assert "privileged" not in service and (name == "postgres" or "cap_add" not in service), name


def test_every_service_that_stays_has_a_healthcheck_of_a_port_it_opens(compose: dict[str, Any]) -> None:
    for name in ("dashboard", "worker", "worker-cpu", "fleet", "metrics"):
        service = compose["services"][name]
        words = shlex.split(with_defaults(service["command"]))
        option = "--metrics-port" if "worker" in words else "--port"
        port, path = words[words.index(option) + 1], "/health" if name == "dashboard" else "/metrics"
        kind, python, flag, code = service["healthcheck"]["test"]
        assert (kind, python, flag) == ("CMD", "python", "-c") and f"http://127.0.0.1:{port}{path}'" in code, name
        compile(code, name, "exec")


def test_every_password_is_a_file(compose: dict[str, Any]) -> None:
    files = {"postgres_password": "POSTGRES_PASSWORD_FILE", "s3_password": "MINIO_ROOT_PASSWORD_FILE"}
    own = {"postgres_password": "VENATION_STORAGE_PASSWORD_FILE", "aws_credentials": "AWS_SHARED_CREDENTIALS_FILE"}
    for name, service in compose["services"].items():
        variables = own if service["image"] == "venation" else files
        for secret in service["secrets"]:
            if secret == "dashboard_login":
                assert service["command"].endswith("--login /run/secrets/dashboard_login")
                continue
            assert service["environment"][variables[secret]] == f"/run/secrets/{secret}", name
        assert not [key for key in service["environment"] if re.search("PASSWORD$|SECRET|KEY", key)]
    kept_out = (ROOT / ".dockerignore").read_text().splitlines()
    places = [with_defaults(secret["file"]) for secret in compose["secrets"].values()]
    assert places == [
        "./secrets/postgres_password",
        "./secrets/s3_password",
        "./secrets/dashboard_login",
        "/dev/null",
    ]
    assert "secrets" in kept_out


def test_the_bucket_service_creates_the_bucket_once(compose: dict[str, Any], tmp_path: Path) -> None:
    """Run the service's command twice against an S3 server."""
    import boto3
    from moto.server import ThreadedMotoServer

    service = compose["services"]["s3-bucket"]
    assert service["entrypoint"] == ["python", "-c"]
    credentials = tmp_path / "aws_credentials"
    credentials.write_text("[default]\naws_access_key_id = venation\naws_secret_access_key = pw\n")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_DEFAULT_REGION": with_defaults(service["environment"]["AWS_DEFAULT_REGION"]),
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "PATH": os.environ["PATH"],
        }
        for _ in range(2):
            subprocess.run([sys.executable, "-c", *service["command"]], env=environment, check=True, timeout=60)
        keys = {"aws_access_key_id": "venation", "aws_secret_access_key": "pw", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], **keys)
        # Servers of other tests in this process share their buckets with this one.
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]].count("venation") == 1
        client.close()
    finally:
        server.stop()
    documented = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    assert "VENATION_ARTIFACTS=s3://venation/" in documented


def test_venation_reads_the_storage_url(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from venation.storage.urls import resolve_url

    environment = compose["services"]["worker"]["environment"]
    database = compose["services"]["postgres"]["environment"]
    (tmp_path / "secret").write_text("pw\n")
    monkeypatch.setenv("VENATION_STORAGE", with_defaults(environment["VENATION_STORAGE"]))
    monkeypatch.setenv("VENATION_STORAGE_PASSWORD_FILE", str(tmp_path / "secret"))
    expected = f"postgresql+psycopg2://{database['POSTGRES_USER']}:pw@postgres:5432/{database['POSTGRES_DB']}"
    assert resolve_url(None) == expected


def test_workers_reserve_gpus_and_share_the_artifacts(compose: dict[str, Any]) -> None:
    services = compose["services"]
    (all_of_them,) = services["fleet"]["deploy"]["resources"]["reservations"]["devices"]
    assert all_of_them == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert "deploy" not in services["worker-cpu"] and services["worker-cpu"]["profiles"] == ["cpu"]
    for name in ("worker", "worker-cpu", "fleet", "dashboard", "db-init"):
        given = [with_defaults(volume) for volume in services[name]["volumes"]]
        assert dict(volume.rsplit(":", 1) for volume in given if not volume.endswith(":ro")) == {
            "artifacts": "/artifacts",
            "home": "/var/lib/venation",
        }
        assert with_defaults(services[name]["environment"]["VENATION_ARTIFACTS"]) == "file:///artifacts"
        assert "container_name" not in services[name]
    assert set(compose["volumes"]) == {"artifacts", "database", "home", "objects"}


def test_the_image_copies_existing_files_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    sources = [line.split()[1] for line in lines if line.startswith("COPY") and "--from" not in line]
    assert sources and all((ROOT / source).exists() for source in sources)
    assert not [line for line in lines if "--editable" in line or " -e " in line]
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users and users[-1] not in ("root", "0")
    assert 'ENTRYPOINT ["venation"]' in lines
    # Workers may use any artifact store.
    assert any(line.endswith("'/src[search,s3,gcs,heic,serve]'") for line in lines)


def test_the_build_context_contains_all_files_of_the_installation() -> None:
    """`.dockerignore` excludes no file that setuptools needs."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.split(".")[1] for name in project["tool"]["setuptools"]["packages"] if "." in name]
    needed = {*packages, "pyproject.toml", "constraints.txt", project["project"]["readme"], "cli.py", "py.typed"}
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert not needed & set(ignored)
    assert all((ROOT / name).exists() for name in packages)
