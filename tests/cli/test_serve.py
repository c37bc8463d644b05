"""`venation serve`: what it says before it serves."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from small_bundle import EXPECTED_FAILURE, SmallBundle, refuse

TOKEN = "VENATION_SERVE_TOKEN"


def test_other_machines_need_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = ("other machines reach 0.0.0.0", "--token-file", TOKEN, "--token generate")
    refuse(EXPECTED_FAILURE, "serve", tmp_path, "--host", "0.0.0.0", says=says)
    monkeypatch.setenv(TOKEN, "short")
    refuse(EXPECTED_FAILURE, "serve", tmp_path, says=(TOKEN, "5 characters", "16 or more"))
    monkeypatch.delenv(TOKEN)
    refuse(EXPECTED_FAILURE, "serve", tmp_path, "--token-file", tmp_path / "none", says=("No such file",))
    refuse(EXPECTED_FAILURE, "serve", tmp_path, "--root-path", "lab", says=("--root-path", "'lab'"))


def test_a_port_in_use_and_a_path_without_a_bundle_are_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refuse(EXPECTED_FAILURE, "serve", tmp_path, "--port", port, says=(f"127.0.0.1:{port}", "in use", "--port"))
    refuse(EXPECTED_FAILURE, "serve", tmp_path, "--port", 0, says=("has no bundle.json",))


@pytest.mark.parametrize("limit", ["--max-mb", "--time-limit"])
def test_a_limit_is_a_finite_number(tmp_path: Path, limit: str) -> None:
    for number in ("inf", "nan", "1e300"):
        refuse(2, "serve", tmp_path, limit, number, says=(limit, "Invalid value"))


def test_a_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("venation.serving")]:
        monkeypatch.delitem(sys.modules, name)
    refuse(EXPECTED_FAILURE, "serve", tmp_path, says=('pip install "venation[serve]"',))


def test_a_server_answers_until_it_is_stopped(small_bundle: SmallBundle) -> None:
    command = [
        sys.executable,
        "-m",
        "venation.cli",
        "serve",
        str(small_bundle.path),
        "--port",
        "0",
        "--token",
        "generate",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stdout is not None and server.stderr is not None
        token = server.stdout.readline().removeprefix("token: ").strip()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line := server.stderr.readline())
        assert found is not None and token not in line
        request = urllib.request.Request(f"{found[0]}api/model", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0 and server.stderr.read() == ""
