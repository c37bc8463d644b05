"""Studies from Python: the same studies as the command line's, and errors in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_bundle import rows, succeed

import venation
from venation.data.synthetic import write_leaves
from venation.errors import DataError, UsageError, UserError

SETTINGS = {"encoder.name": "test_resnet", "encoder.weights": "none", "data.size": 32, "train.epochs": 1}


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    write_leaves(tmp_path / "leaves", classes=3, images=6, size=40, seed=3)
    return tmp_path / "leaves"


@pytest.fixture
def places(postgres_url: str, tmp_path: Path) -> dict[str, str]:
    return {"storage": postgres_url, "artifacts": str(tmp_path / "store")}


def test_a_study_is_created_run_and_exported(leaves: Path, places: dict[str, str], tmp_path: Path) -> None:
    options = {"kind": "classifier", "data": leaves, "trials": 2, "settings": SETTINGS, "pruner": "none"}
    study = venation.create_study("soy", **options, **places)
    assert study.best() is None and study.spec.trials == 2 and study.spec.config.train.epochs == 1
    assert study.run(device="cpu", max_trials=1) == 1 and study.run(device="cpu") == 1
    first, second = study.trials()
    shown = rows("study", "trials", "soy", "--storage", places["storage"])
    assert [trial.values["accuracy"] for trial in (first, second)] == [row["value"] for row in shown]
    assert first.state == "COMPLETE" and first.epochs == 1 and first.cause is None
    assert first.config is not None and first.config["encoder"]["name"] == "test_resnet"
    assert first.metrics["accuracy"] == first.values["accuracy"]
    best = study.best()
    assert best == study.trial(best.number) and best.values["accuracy"] == study.optuna_study.best_value
    bundle = study.export(tmp_path / "soy.bundle", device="cpu")
    assert bundle.classes == study.spec.classes
    assert "samples: 3" in succeed("bundle", "check", tmp_path / "soy.bundle")


def test_the_same_options_open_the_study_and_others_are_refused(leaves: Path, places: dict[str, str]) -> None:
    options = {"kind": "classifier", "data": leaves, "trials": 2, "settings": SETTINGS}
    venation.create_study("soy", **options, **places)
    again = venation.create_study("soy", **options, **places)
    opened = venation.open_study("soy", **places)
    assert again.spec == opened.spec and repr(opened) == "<Study soy (classifier)>"
    with pytest.raises(UserError, match="seed: 0 -> 1"):
        venation.create_study("soy", **options | {"seed": 1}, **places)
    assert opened.status()["study"] == "soy"
    opened.delete()
    with pytest.raises(UserError, match="study `soy` does not exist"):
        venation.open_study("soy", **places)


def test_errors_are_one_line(leaves: Path, places: dict[str, str], tmp_path: Path) -> None:
    options = {"kind": "classifier", "data": leaves, "settings": SETTINGS}
    for change, error, says in (
        ({"kind": "clasifier"}, UsageError, "clasifier"),
        ({"data": tmp_path / "none"}, DataError, "none"),
        ({"settings": {"train.epoch": 1}}, UsageError, "train.epochs"),
        ({"trials": 0}, UsageError, "trials"),
        ({"pruner": "best"}, UsageError, "pruner"),
    ):
        with pytest.raises(error) as caught:
            venation.create_study("soy", **options | change, **places)
        assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="has no trial 7"):
        venation.create_study("soy", **options, **places).trial(7)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, venation; venation.__version__; dir(venation)\n"
        "print([name for name in ('torch', 'optuna', 'numpy', 'sqlalchemy', 'pydantic') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(AttributeError, match="create_study, load_bundle, open_study"):
        venation.make_study  # noqa: B018
    assert set(venation.__all__) <= set(dir(venation))
