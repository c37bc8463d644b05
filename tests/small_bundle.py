"""A bundle of minimal studies, and helpers that run the command line in this process."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from venation.cli import app
from venation.data.synthetic import write_leaves

CLASSIFIER = (
    *("--set", "encoder.name=test_resnet", "--set", "encoder.weights=none"),
    *("--set", "data.size=64", "--set", "train.epochs=1"),
)
# The MNSA decoder takes a minute to export to ONNX, because export time grows with the number of
# operations.
# Whole images: patches of 256 pixels would only be slower.
DECODER = (
    *("--set", "decoder.kind=unet", "--set", "decoder.channels=8"),
    *("--set", "train.epochs=1", "--set", "data.fit=squash"),
)
BOOSTER = ("--set", "boost.rounds=5")

EXPECTED_FAILURE, MISUSE, BAD_DATA = 1, 2, 3


def venation(*arguments: object) -> Result:
    """Run ``venation ARGUMENTS`` in this process; raise errors that the command does not handle."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def succeed(*arguments: object) -> str:
    """Run ``venation ARGUMENTS``, which must succeed, and return its stdout."""
    result = venation(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(*arguments: object) -> Any:
    """Run ``venation ARGUMENTS --json`` and return the parsed output."""
    return json.loads(succeed(*arguments, "--json"))


def json_lines(text: str) -> list[dict[str, Any]]:
    """Return the objects of the lines that ``venation predict --json`` prints."""
    return [json.loads(line) for line in text.splitlines()]


def predicted(*arguments: object) -> list[dict[str, Any]]:
    """Run ``venation predict ARGUMENTS --json`` and return its rows."""
    return json_lines(succeed("predict", *arguments, "--json"))


def refuse(code: int, *arguments: object, says: tuple[str, ...]) -> str:
    """Run a command that must fail with ``code`` and one line with all of ``says``; return it."""
    result = venation(*arguments)
    assert result.exit_code == code, result.output
    line = result.stderr.removesuffix("\n")
    if line.startswith("Usage: "):
        # The option parser prints the usage before its error.
        line = line.splitlines()[-1]
    assert line.startswith("Error: ") and "\n" not in line and "Traceback" not in result.output, result.output
    assert not result.stdout and [part for part in says if part not in line] == [], line
    return line


def tree(folder: Path) -> set[str]:
    """Return the relative paths of everything in a folder, including hidden files."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@dataclass(frozen=True)
class SmallBundle:
    """A bundle of three studies (classifier, decoder, booster), and the leaves of its data."""

    path: Path
    leaves: Path


@functools.cache
def make_bundle(folder: Path, name: str = "tiny", trials: int = 1) -> SmallBundle:
    """Make a bundle of the studies ``name``, ``name``-veins and ``name``-boost in ``folder``."""
    root = folder / name
    leaves = root / "leaves"
    veins, boost = f"{name}-veins", f"{name}-boost"
    write_leaves(leaves, classes=3, images=6, size=40, seed=3)
    succeed("study", "create", name, "--kind", "classifier", "--data", leaves, "--trials", trials, *CLASSIFIER)
    succeed("study", "create", veins, "--kind", "decoder", "--base", name, "--trials", trials, *DECODER)
    succeed("study", "create", boost, "--kind", "booster", "--base", name, "--trials", trials, *BOOSTER)
    succeed("worker", name, veins, boost, "--until-idle", "--device", "cpu")
    out = root / f"{name}.bundle"
    succeed("bundle", "export", veins, boost, "-o", out, "--device", "cpu")
    return SmallBundle(out, leaves)
