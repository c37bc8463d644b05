"""Warm starts from the best trials of another study."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from small_bundle import refuse, rows, succeed
from study_helpers import SETTINGS, StudyHarness

from venation.errors import UsageError, UserError
from venation.search.handle import StudyHandle
from venation.spaces.fields import set_fields
from venation.studies.study_file import read_study_file

SPACE = "train.lr: {low: 0.0003, high: 0.01, log: true}\ngate: [none, mean, meanmax]\ntrain.label_smoothing: [0, 0.1]\n"
POINTS: tuple[dict[str, Any], ...] = (
    {"train.lr": 0.004, "gate": "meanmax"},
    {"train.lr": 0.001, "gate": "mean"},
    {"train.lr": 0.009, "gate": "mean", "train.label_smoothing": 0.1},
    {"train.lr": 0.002},
)
VALUES = (0.5, 0.9, 0.7, 0.9)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """Write the space that contains ``POINTS``."""
    path = tmp_path / "searched.yaml"
    path.write_text(SPACE)
    return path


def source(harness: StudyHarness, *, values: tuple[float, ...] = VALUES, **options: Any) -> StudyHandle:
    """A study whose trials have the configs of ``POINTS`` and these values."""
    handle = harness.create("soy", trials=9, **options)
    for point, value in zip(POINTS, values, strict=False):
        config = set_fields(handle.spec.config, point).model_dump(mode="json")
        handle.study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"config": config}))
    return handle


def first_params(handle: StudyHandle) -> list[dict[str, Any]]:
    return [trial.system_attrs["fixed_params"] for trial in handle.study.trials]


def test_the_best_three_follow_the_recipe(harness: StudyHarness, space: Path) -> None:
    source(harness)
    warm = harness.create("next", trials=9, warm_start="soy", space=space)
    own = warm.spec.space.point(warm.spec.config)
    assert warm.spec.warm_start == "soy"
    assert first_params(warm) == [own, own | POINTS[1], own | POINTS[3], own | POINTS[2]]


def test_the_least_is_best_where_the_least_counts(harness: StudyHarness, space: Path) -> None:
    source(harness, objective="logloss")
    warm = harness.create("next", trials=9, warm_start="soy", space=space)
    assert [params["train.lr"] for params in first_params(warm)[1:]] == [0.004, 0.009, 0.001]


def test_a_start_has_only_values_that_the_new_space_contains(harness: StudyHarness, tmp_path: Path) -> None:
    source(harness)
    space = tmp_path / "space.yaml"
    space.write_text(
        "gate: [none, meanmax]\ntrain.label_smoothing: [0, 0.1]\n"
        "train.mask_weight: {low: 0.1, high: 1, when: {decoder.kind: mnsa}}\n"
    )
    warm = harness.create("next", trials=9, warm_start="soy", space=space)
    # Of the two best trials nothing is left, and the gate of the third is not held.
    assert warm.spec.starts == ({"train.label_smoothing": 0.1}, {"gate": "meanmax"})
    assert first_params(warm) == [
        {"gate": "none", "train.label_smoothing": 0.0},
        {"gate": "none", "train.label_smoothing": 0.1},
        {"gate": "meanmax", "train.label_smoothing": 0.0},
    ]


def test_a_fixed_field_stays_and_the_budget_is_kept(harness: StudyHarness, space: Path) -> None:
    source(harness)
    warm = harness.create("next", trials=2, warm_start="soy", space=space, settings={"gate": "mean"})
    assert [params.get("gate") for params in first_params(warm)] == [None, None]
    assert [params["train.lr"] for params in first_params(warm)] == [warm.spec.config.train.lr, 0.001]


def test_the_same_again_is_a_no_op(harness: StudyHarness) -> None:
    source(harness)
    first = harness.create("next", trials=9, warm_start="soy")
    assert harness.create("next", trials=9, warm_start="soy").id == first.id
    assert len(first.study.trials) == 4


def test_the_same_again_is_a_no_op_though_the_source_found_better(harness: StudyHarness) -> None:
    handle = source(harness)
    first = harness.create("next", trials=9, warm_start="soy")
    config = set_fields(handle.spec.config, {"train.lr": 7e-3})
    attrs = {"config": config.model_dump(mode="json")}
    handle.study.add_trial(optuna.trial.create_trial(value=0.99, user_attrs=attrs))
    assert harness.create("next", trials=9, warm_start="soy").spec.starts == first.spec.starts


def test_a_source_that_used_sealed_images_is_rejected(harness: StudyHarness) -> None:
    source(harness)
    with pytest.raises(UsageError, match=r"some of those are this study's sealed test split; give `--seed 0`"):
        harness.create("next", trials=9, warm_start="soy", seed=1)


def test_the_same_images_in_another_folder_are_the_same(harness: StudyHarness, tmp_path: Path) -> None:
    source(harness)
    moved = replace(harness, data=shutil.copytree(harness.data, tmp_path / "moved"))
    with pytest.raises(UsageError, match=r"give `--seed 0`"):
        moved.create("next", trials=9, warm_start="soy", seed=1)
    assert moved.create("next", trials=9, warm_start="soy").spec.warm_start == "soy"


def test_a_booster_meets_its_two_rivals_first(harness: StudyHarness) -> None:
    harness.create()
    handle = harness.create("boost", "booster", base="soy", trials=9)
    config = set_fields(handle.spec.config, {"boost.booster": "dart", "boost.max_depth": 2})
    attrs = {"config": config.model_dump(mode="json")}
    handle.study.add_trial(optuna.trial.create_trial(value=0.3, user_attrs=attrs))
    warm = harness.create("next", "booster", base="soy", trials=9, warm_start="boost")
    boosters = [params["boost.booster"] for params in first_params(warm)]
    assert (boosters[:2], boosters[-1]) == (["logistic", "head"], "dart")
    assert first_params(warm)[-1]["boost.max_depth"] == 2


def test_a_study_without_a_result_of_another_kind_or_unknown_is_refused(harness: StudyHarness) -> None:
    source(harness, values=())
    with pytest.raises(UserError, match="study `soy` has no finished trial to start from"):
        harness.create("next", warm_start="soy")
    with pytest.raises(UsageError, match="`soy` is a classifier study; a decoder study starts from trials of its own"):
        harness.create("next", "decoder", base="soy", warm_start="soy")
    with pytest.raises(UserError, match="study `bean` does not exist; the studies are: soy"):
        harness.create("next", warm_start="bean")
    optuna.create_study(study_name="other", storage=harness.storage).add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(UserError, match="study `other` has no spec"):
        harness.create("next", warm_start="other")


def test_the_option_and_the_key_of_a_study_file(harness: StudyHarness, tmp_path: Path, postgres_url: str) -> None:
    source(harness)
    file = tmp_path / "study.yaml"
    file.write_text(f"name: next\nkind: classifier\ndata: {harness.data}\nfrom: soy\ntrials: 9\n")
    assert read_study_file(file)["from"] == "soy"
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    fixed = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    succeed("study", "create", "-f", file, *fixed, *places)
    assert rows("study", "show", "next", *places[:2])["spec"]["warm_start"] == "soy"
    refuse(1, "study", "create", "last", "-f", file, "--from", "next", *places, says=("`next` has no finished trial",))
