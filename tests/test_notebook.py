"""The tutorial notebook runs from top to bottom, and is stored with the outputs of such a run."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
from small_bundle import rows

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial"
SMALL = {
    "classifier_settings": {
        "encoder.name": "test_resnet",
        "encoder.weights": "none",
        "data.size": 32,
        "train.epochs": 1,
    },
    "decoder_settings": {"decoder.kind": "unet", "decoder.channels": 8, "data.fit": "squash", "train.epochs": 1},
}


def test_it_runs(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specification = importlib.util.spec_from_file_location("run", TUTORIAL / "run.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setenv("VENATION_STORAGE", postgres_url)
    monkeypatch.setenv("VENATION_ARTIFACTS", str(tmp_path / "store"))
    done = module.run(tmp_path, SMALL)
    assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code")
    assert {row["study"]: row["complete"] for row in rows("study", "list")} == {"tutorial": 2, "tutorial-veins": 1}
    assert os.listdir(tmp_path / "tutorial") and (tmp_path / "tutorial" / "soy.bundle" / "bundle.json").is_file()


def test_its_outputs_are_those_of_one_run_and_small() -> None:
    path = TUTORIAL / "python.ipynb"
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert kinds.count("execute_result") == 2 and set(kinds) == {"execute_result", "stream"}
    assert path.stat().st_size < 150_000
