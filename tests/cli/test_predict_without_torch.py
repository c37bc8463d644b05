"""`venation predict` and `load_bundle` in a process that has neither torch nor the search."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from light import HEAVY, RUN, WITHOUT, light
from small_bundle import SmallBundle, json_lines, predicted, rows


def test_predict_answers_as_with_torch(small_bundle: SmallBundle, tmp_path: Path) -> None:
    images = small_bundle.leaves / "images"
    with_torch = predicted(small_bundle.path, images, "-o", tmp_path / "a", "--overlay", "--runner", "torch")
    done = light("predict", small_bundle.path, images, "-o", tmp_path / "b", "--overlay", "--json")
    assert done.returncode == 0, done.stderr
    found = json_lines(done.stdout)
    assert len(found) == len(with_torch) > 10
    for row, expected in zip(found, with_torch, strict=True):
        assert row["label"] == expected["label"] and row["answer"] == expected["answer"]
        assert row["probability"] == pytest.approx(expected["probability"], abs=1e-4)
        assert row["mask_share"] == pytest.approx(expected["mask_share"], abs=1e-3)
        assert (tmp_path / "b" / row["overlay"]).is_file() and (tmp_path / "b" / row["mask"]).is_file()


def test_a_bundle_loads_from_python_without_torch(small_bundle: SmallBundle) -> None:
    image = small_bundle.path / "samples" / "0.png"
    code = (
        WITHOUT
        + f"""
import venation
bundle = venation.load_bundle({str(small_bundle.path)!r})
print(bundle.predict({str(image)!r})[0].label in bundle.classes, bundle.has_masks)
print(sorted(set({HEAVY}) & sys.modules.keys()))
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n[]\n"


def test_torch_alone_does_not_choose_its_runner(small_bundle: SmallBundle, tmp_path: Path) -> None:
    # As in an environment that has torch, in which the light installation is made.
    code = RUN.replace("'torch', 'torchvision', ", "")
    assert code != RUN
    command = [sys.executable, "-c", code, "predict", small_bundle.path, small_bundle.path / "samples", "-o", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_data_check_runs_without_the_search(small_bundle: SmallBundle) -> None:
    with_all = rows("data", "check", small_bundle.leaves)
    done = light("data", "check", small_bundle.leaves, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == with_all


def test_what_needs_the_full_installation_says_so_in_one_line(small_bundle: SmallBundle, tmp_path: Path) -> None:
    heat = light("predict", small_bundle.path, small_bundle.leaves, "-o", tmp_path, "--heatmap")
    assert heat.returncode == 2 and "--heatmap needs torch" in heat.stderr and "Traceback" not in heat.stderr
    study = light("study", "list")
    assert (
        study.returncode == 1 and "pip install 'venation[search]'" in study.stderr and "Traceback" not in study.stderr
    )
    torch = light("predict", small_bundle.path, small_bundle.leaves, "-o", tmp_path, "--runner", "torch")
    assert torch.returncode == 2 and "the runner `torch` is not installed" in torch.stderr
