"""The origin of a trial: versions, machine, device, code and command."""

import platform
import re
import socket
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..redaction import redact

_PACKAGES = ("venation", "torch", "torchvision", "timm", "optuna", "xgboost", "numpy", "scikit-learn", "onnx")
_GIT_S = 20


class Provenance(BaseModel):
    """The origin of a result.

    ``commit`` is None outside a git checkout. ``dirty`` means that tracked files were changed.
    ``threads`` is the number of torch's threads, None in records of version 0.1.
    """

    model_config = ConfigDict(frozen=True)

    versions: dict[str, str]
    python: str
    platform: str
    hostname: str
    device: str
    commit: str | None
    dirty: bool
    command: tuple[str, ...]
    threads: int | None = None


def collect_provenance(device: str | None = None) -> Provenance:
    """Return the provenance of this process. ``device`` (``cuda:0``) is recorded with its model."""
    commit, dirty = _checkout()
    return Provenance(
        versions=_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        hostname=socket.gethostname(),
        device=_device(device),
        commit=commit,
        dirty=dirty,
        command=tuple(_redact_urls(argument) for argument in sys.argv),
        threads=_threads(),
    )


def _redact_urls(argument: str) -> str:
    """Return a command line argument without the password of a URL: provenance is shared."""
    url = re.search(r"[\w+.-]+://.*", argument)
    return argument if url is None else argument[: url.start()] + redact(url.group())


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device(given: str | None) -> str:
    import torch

    device = torch.device(given or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"{device} {platform.processor() or platform.machine()}"


def _threads() -> int:
    import torch

    return torch.get_num_threads()


@cache
def _checkout() -> tuple[str | None, bool]:
    """Return the commit of the package's own checkout, if it is one, and whether it is dirty."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None, False
    commit = _git(root, "rev-parse", "HEAD")
    return commit or None, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))


def _git(root: Path, *arguments: str) -> str:
    """Return the output of git; empty if git is not installed or refuses.

    Git refuses, for example, a checkout of another user.
    """
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_GIT_S, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
