"""The container files: what they start exists, waits for what it needs, and shows no secret and no open door."""

import re
import shlex
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
    """``text`` as compose reads it where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def resolve(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that ``venation ARGUMENTS`` runs, and what is left for it."""
    from venation.cli import app

    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands"):
        assert arguments[0] in command.commands, f"venation has no command {arguments[0]}"
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


def known_options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


def documented_commands() -> list[list[str]]:
    lines = (ROOT / "docs" / "deploy.md").read_text().splitlines()
    found = [re.search(r"docker compose run --rm db-init ([a-z].*)$", line) for line in lines]
    return [shlex.split(match.group(1)) for match in found if match]


def test_every_command_exists_with_its_options(compose: dict[str, Any]) -> None:
    commands = [
        shlex.split(with_defaults(service["command"]))
        for name, service in compose["services"].items()
        if name != "postgres"
    ]
    documented = documented_commands()
    assert len(commands) == 4 and len(documented) == 2
    for arguments in commands + documented:
        command, rest = resolve(arguments)
        assert not hasattr(command, "commands"), f"{arguments} names a group"
        assert {word for word in rest if word.startswith("--")} <= known_options(command), arguments


def test_everything_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["db-init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("dashboard", "worker", "worker-cpu"):
        assert services[name]["depends_on"] == {"db-init": {"condition": "service_completed_successfully"}}, name
    check = services["postgres"]["healthcheck"]
    assert check["test"][:2] == ["CMD", "pg_isready"]
    environment = services["postgres"]["environment"]
    assert check["test"][-1] == environment["POSTGRES_DB"] and environment["POSTGRES_USER"] in check["test"]
    assert "restart" not in services["db-init"]


def test_no_port_is_open_to_the_network(compose: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    published = [with_defaults(port) for given in ports.values() for port in given]
    assert sorted(published) == ["127.0.0.1:5432:5432", "127.0.0.1:8080:8080"]
    arguments = shlex.split(compose["services"]["dashboard"]["command"])
    assert arguments[arguments.index("--port") + 1] == "8080"


def test_the_password_is_a_file_everywhere(compose: dict[str, Any]) -> None:
    (secret,) = compose["secrets"]
    mount = f"/run/secrets/{secret}"
    for name, service in compose["services"].items():
        assert service["secrets"] == [secret], name
        variable = "POSTGRES_PASSWORD_FILE" if name == "postgres" else "VENATION_STORAGE_PASSWORD_FILE"
        assert service["environment"][variable] == mount
        assert not [key for key in service["environment"] if "PASSWORD" in key and not key.endswith("_FILE")]
    kept_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert compose["secrets"][secret]["file"].split("/")[1] in kept_out


def test_the_url_is_one_that_venation_reads(
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


def test_workers_reserve_a_gpu_and_share_the_artifacts(compose: dict[str, Any]) -> None:
    services = compose["services"]
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert "deploy" not in services["worker-cpu"] and services["worker-cpu"]["profiles"] == ["cpu"]
    for name in ("worker", "worker-cpu", "dashboard", "db-init"):
        volumes = dict(volume.rsplit(":", 1) for volume in services[name]["volumes"] if not volume.endswith(":ro"))
        assert volumes == {"artifacts": "/artifacts"}
        assert services[name]["environment"]["VENATION_ARTIFACTS"] == "file:///artifacts"
        assert "container_name" not in services[name]
    assert set(compose["volumes"]) == {"artifacts", "database"}


def test_the_image_copies_what_exists_installs_it_for_good_and_runs_as_no_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    sources = [line.split()[1] for line in lines if line.startswith("COPY") and "--from" not in line]
    assert sources and all((ROOT / source).exists() for source in sources)
    assert not [line for line in lines if "--editable" in line or " -e " in line]
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users and users[-1] not in ("root", "0")
    assert 'ENTRYPOINT ["venation"]' in lines


def test_the_image_is_given_all_that_an_installation_reads() -> None:
    """Of what setuptools needs, nothing may be among what the build is not sent."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.split(".")[1] for name in project["tool"]["setuptools"]["packages"] if "." in name]
    needed = {*packages, "pyproject.toml", "constraints.txt", project["project"]["readme"], "cli.py", "py.typed"}
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert not needed & set(ignored)
    assert all((ROOT / name).exists() for name in packages)
