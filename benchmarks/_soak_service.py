"""The processes of a soak run: a worker, a dashboard and a served bundle, each used in rounds."""

import io
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from sqlalchemy import text

import venation
from venation.api.study import Study
from venation.data.synthetic import write_leaves
from venation.storage import embedded
from venation.storage.database import open_storage

# Tiny networks: a soak counts trials, not what they learn.
TINY = {"encoder.name": "test_resnet", "encoder.weights": "none", "data.size": 32, "train.epochs": 2}
# Studies of one round with their new trials; each later one stands on the first.
TRIALS = {"classifier": 2, "decoder": 1, "booster": 1}
REQUESTS = 10
_WAIT = 600.0
_START = 60.0


class Service:
    """The studies, the long-running processes by name, and their addresses."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        write_leaves(folder / "leaves", classes=3, images=10, size=48, seed=7)
        self.studies: dict[str, Study] = {}
        for kind, trials in TRIALS.items():
            self.studies[kind] = self._create(kind, trials)
            self.studies[kind].run(device="cpu")
        self.studies["decoder"].export(folder / "soak.bundle", device="cpu")
        self.photo = _photo()
        names = [study.name for study in self.studies.values()]
        self.processes = {"worker": stack.enter_context(_running(folder, "worker", "worker", *names))}
        self.pages = {}
        for name, arguments in {"dashboard": ["dashboard"], "serve": ["serve", str(folder / "soak.bundle")]}.items():
            port = _free_port()
            self.processes[name] = stack.enter_context(_running(folder, name, *arguments, "--port", str(port)))
            self.pages[name] = f"http://127.0.0.1:{port}"

    def _create(self, kind: str, trials: int) -> Study:
        base = None if kind == "classifier" else "soak-classifier"
        data = self.folder / "leaves" if base is None else None
        settings = {"booster": None, "decoder": {"train.epochs": 2}}.get(kind, TINY)
        return venation.create_study(f"soak-{kind}", kind=kind, data=data, base=base, settings=settings, trials=trials)

    def round(self) -> int:
        """Use every process once more, and return how many trials the worker has ended so far."""
        for kind, study in self.studies.items():
            study.extend(trials=(study.spec.trials or 0) + TRIALS[kind])
        for _ in range(REQUESTS):
            answer = json.loads(_send(f"{self.pages['serve']}/api/predict?picture=overlay&picture=heatmap", self.photo))
            assert answer["label"], answer
            _send(f"{self.pages['dashboard']}/api/studies")
            _send(f"{self.pages['dashboard']}/api/studies/1?after=0")
        return self._wait()

    def _wait(self) -> int:
        """Wait for the last trial, and return how many have ended."""
        end = time.monotonic() + _WAIT
        while True:
            rows = [study.status() for study in self.studies.values()]
            ended = sum(row["complete"] + row["pruned"] + row["fail"] for row in rows)
            if ended >= sum(row["budget"] for row in rows):
                return ended
            if time.monotonic() > end:
                sys.exit(f"no trial ended for {_WAIT:.0f} s; see the logs in {self.folder}")
            time.sleep(0.5)

    def sample(self) -> dict[str, float]:
        """Return memory in MiB, open files and threads of every process, and the connections."""
        found: dict[str, float] = {}
        for name, process in self.processes.items():
            found |= _use(name, [psutil.Process(process.pid)])
        status = embedded.status()
        assert status is not None
        server = psutil.Process(status["pid"])
        found |= _use("postgres", [server, *server.children()])
        with open_storage(status["url"]).engine.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            found["postgres connections"] = connection.execute(text(query)).scalar_one()
        return found


def _use(name: str, processes: list[psutil.Process]) -> dict[str, float]:
    """Return the resources of processes; pages that they share count once in their memory."""
    found = {f"{name} memory MiB": 0.0, f"{name} open files": 0.0, f"{name} threads": 0.0}
    for process in processes:
        try:
            use = process.memory_full_info().pss / 2**20, process.num_fds(), process.num_threads()
        except psutil.NoSuchProcess:
            continue
        found = {key: value + more for (key, value), more in zip(found.items(), use, strict=True)}
    return found


@contextmanager
def _running(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, with its output in a log file, until the block ends."""
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "venation.cli", *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _photo() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG")
        return file.getvalue()


def _send(url: str, photo: bytes | None = None) -> bytes:
    """Send a request, with a photo as a form if there is one, and return the answer's body."""
    request = urllib.request.Request(url)
    if photo is not None:
        head = '--b\r\nContent-Disposition: form-data; name="file"; filename="leaf.jpg"\r\n\r\n'
        request.data = head.encode() + photo + b"\r\n--b--\r\n"
        request.add_header("Content-Type", "multipart/form-data; boundary=b")
    end = time.monotonic() + _START
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_START) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
