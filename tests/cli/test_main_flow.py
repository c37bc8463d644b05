"""Run the main flow of README line by line on small data."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image
from small_bundle import BOOSTER, CLASSIFIER, DECODER, rows, succeed

from venation.data.synthetic import write_leaves

README = Path(__file__).parents[2] / "README.md"
SMALL = {"classifier": CLASSIFIER, "decoder": DECODER, "booster": BOOSTER}


def main_flow() -> list[list[str]]:
    """Return the words of each command of README's main flow."""
    block = re.search(r"test_main_flow\.py.*?```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True) for line in block.group(1).splitlines() if line.strip()]


def shrink_command(words: list[str]) -> list[str]:
    """Return the same command on the CPU, with one trial of a tiny network.

    Of an option given twice the last one counts.
    """
    match words[1:]:
        case ["study", "create", *_]:
            return [*words, "--trials", "1", *SMALL[words[words.index("--kind") + 1]]]
        case ["try", *_]:
            return [*words, "--size", "32", "--device", "cpu"]
        case ["worker" | "predict" | "evaluate", *_] | ["bundle", "export", *_]:
            return [*words, "--device", "cpu"]
    return words


def run(words: list[str]) -> str:
    """Run a command and return its stdout; commands that train run in a separate process."""
    if words[1] != "worker" and words[1:3] != ["bundle", "export"]:
        return succeed(*words[1:])
    found = subprocess.run([sys.executable, "-m", "venation.cli", *words[1:]], capture_output=True, text=True)
    assert found.returncode == 0, (words, found.stderr)
    assert "Traceback" not in found.stderr and "Warning" not in found.stderr, found.stderr
    return found.stdout


def check_dashboard(words: list[str]) -> None:
    """Start the dashboard, request its studies, and stop it by SIGINT."""
    command = [sys.executable, "-m", "venation.cli", *words[1:], "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "http://" in line)
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address is not None
            with urlopen(f"{address.group()}/api/studies") as answer:
                shown = {study["study_name"] for study in json.load(answer)["study_summaries"]}
            assert shown == {"soy", "soy-veins", "soy-boost"}
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert process.wait() == 130 and "Traceback" not in rest, rest
        finally:
            process.kill()


def test_the_main_flow_of_readme_runs(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VENATION_STORAGE", postgres_url)
    write_leaves(tmp_path / "leaves", classes=3, images=6, size=40, seed=5)
    write_leaves(tmp_path / "unseen", classes=3, images=1, size=50, seed=6)
    (tmp_path / "photos").mkdir()
    for index, path in enumerate(sorted((tmp_path / "unseen" / "images").rglob("*.png"))):
        path.rename(tmp_path / "photos" / f"{index}.png")
    printed = {}
    flow = main_flow()
    for words in flow:
        if words[1] == "dashboard":
            check_dashboard(words)
        else:
            printed[" ".join(words[1:3])] = run(shrink_command(words))
    assert len(flow) == 12 and {words[0] for words in flow} == {"venation"}
    assert {row["study"]: row["complete"] for row in rows("study", "list")} == {
        "soy": 1,
        "soy-veins": 1,
        "soy-boost": 1,
    }
    assert "accuracy" in printed["try leaves/"] and (tmp_path / "leaves.bundle" / "bundle.json").is_file()
    assert printed["bundle export"].strip() == "soy.bundle" and (tmp_path / "soy.bundle" / "bundle.json").is_file()
    assert "onnx_difference" in printed["bundle check"] and "scored once on" in printed["bundle show"]
    assert "photos/2.png" in printed["predict soy.bundle"] and "accuracy_blanked" in printed["evaluate soy.bundle"]
    tables = ["predictions.csv", "predictions.run.json"]
    assert sorted(os.listdir(tmp_path / "out")) == ["heatmaps", "masks", "overlays", *tables]
    with Image.open(tmp_path / "out" / "masks" / "0.png") as mask:
        assert mask.size == (50, 50)


def test_creating_the_same_studies_again_changes_nothing(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VENATION_STORAGE", postgres_url)
    write_leaves(tmp_path / "leaves", classes=3, images=4, size=40, seed=5)
    creates = [shrink_command(words) for words in main_flow() if words[1:3] == ["study", "create"]]
    assert len(creates) == 3
    for words in creates + creates:
        assert succeed(*words[1:]).strip() == words[3]
    assert [row["waiting"] for row in rows("study", "list")] == [1, 1, 1]
