"""Migrate a study to another space: copied trials, and the reasons of the others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from small_bundle import rows, venation
from study_helpers import StudyHarness

from venation.errors import UsageError, UserError
from venation.leases.budget import is_finished
from venation.search.handle import StudyHandle
from venation.search.spec import StudySpec
from venation.spaces.fields import set_fields
from venation.storage.artifacts import get_file, list_files
from venation.storage.attributes import MIGRATED_FROM, SPEC, VERSUS_PROBE, records_of
from venation.studies import migrate
from venation.studies.migrate import migrate_study
from venation.studies.registry import delete_study, open_study
from venation.trials.kinds import Kind
from venation.trials.trial_config import TrialConfig

OLD = "train.lr: {low: 0.0003, high: 0.01, log: true}\ngate: [none, mean, meanmax]\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def finished(harness: StudyHarness, folder: Path, *points: dict[str, Any], **options: Any) -> StudyHandle:
    """Make a study over ``OLD`` with a trial for each of ``points``: value n / 10, and a file."""
    handle = harness.create(space=written(folder, OLD), **({"trials": 9} | options))
    for number, point in enumerate(points):
        config = set_fields(handle.spec.config, point)
        handle.study.add_trial(
            optuna.trial.create_trial(
                values=[number / 10],
                params=handle.spec.space.point(config),
                distributions={
                    "train.lr": optuna.distributions.FloatDistribution(3e-4, 1e-2, log=True),
                    "gate": optuna.distributions.CategoricalDistribution(("none", "mean", "meanmax")),
                },
                intermediate_values={0: number / 20, 1: number / 10},
                user_attrs={"config": config.model_dump(mode="json"), "metrics": {"accuracy": number / 10}},
            )
        )
    return handle


def test_copies_are_rows_of_the_new_space(harness: StudyHarness, tmp_path: Path) -> None:
    old = finished(harness, tmp_path, {"train.lr": 0.001, "gate": "mean"}, {"train.lr": 0.009}, {"gate": "meanmax"})
    ranges = "train.lr: {low: 0.0001, high: 0.005, log: true}\ntrain.label_smoothing: [0, 0.1]\n"
    space = written(tmp_path, ranges + "gate: [none, mean, meanmax]\n")
    made = migrate_study(old, harness.artifacts, "next", space=space)
    # Row 0 of the old study is its config, still waiting.
    assert [(row["number"], row["outcome"], row["copy"]) for row in made.rows] == [
        (0, "left", None),
        (1, "copied", 1),
        (2, "left", None),
        (3, "copied", 2),
    ]
    assert made.rows[0]["reason"] == "it is WAITING, and only COMPLETE trials are copied"
    assert made.rows[2]["reason"] == "`train.lr` = 0.009, and the space holds 0.0001 to 0.005"
    config, first, second = made.handle.study.trials
    assert config.state == TrialState.WAITING
    assert config.system_attrs["fixed_params"] == made.handle.spec.space.point(made.handle.spec.config)
    before = old.study.trials[1]
    assert (first.values, first.intermediate_values, first.state) == ([0.0], {0: 0.0, 1: 0.0}, TrialState.COMPLETE)
    assert first.params == {"train.lr": 0.001, "gate": "mean", "train.label_smoothing": 0.0}
    assert first.distributions["train.lr"] == optuna.distributions.FloatDistribution(1e-4, 5e-3, log=True)
    assert first.user_attrs == {MIGRATED_FROM.key: "soy:1"} and records_of(first) == records_of(before) != {}
    assert second.user_attrs[MIGRATED_FROM.key] == "soy:3" and second.duration == old.study.trials[3].duration


def test_a_copy_of_the_new_config_is_trial_0_and_nothing_runs_twice(harness: StudyHarness, tmp_path: Path) -> None:
    old = finished(harness, tmp_path, {"train.lr": 0.001}, {}, trials=3)
    made = migrate_study(old, harness.artifacts, "next", trials=2)
    first, second = made.handle.study.trials
    assert (first.user_attrs[MIGRATED_FROM.key], second.user_attrs[MIGRATED_FROM.key]) == ("soy:2", "soy:1")
    assert is_finished(made.handle)


def test_a_config_with_no_value_in_the_new_space_is_not_counted(
    harness: StudyHarness, tmp_path: Path, postgres_url: str
) -> None:
    old = finished(harness, tmp_path, {"train.lr": 0.001}, {"train.lr": 0.002})
    path = written(tmp_path, "train.lr: [0.001, 0.008]\n")
    with pytest.raises(UsageError, match="the new config is one more.*give `--trials 3`"):
        migrate_study(old, harness.artifacts, "next", settings={"gate": "none"}, trials=1)
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    result = venation("study", "migrate", "soy", "--as", "next", "--space", path, "--trials", 1, *places)
    assert result.exit_code == 0, result.output
    (copy,) = open_study(harness.storage, "next").study.trials
    assert copy.user_attrs[MIGRATED_FROM.key] == "soy:1" and copy.params == {"train.lr": 0.001}
    outside, created = result.stderr.splitlines()[-2:]
    assert outside.startswith("trial 0 is not the recipe itself: the space does not hold its train.lr=0.0005")
    assert created.startswith("created next with 1 of the old study's 3 trials; start")


def test_a_worker_goes_on_and_the_files_are_the_new_studys_own(harness: StudyHarness, tmp_path: Path) -> None:
    old = harness.create(space=written(tmp_path, OLD), trials=2)
    harness.work(old)
    sums = {file.filename: file.sha256 for file in list_files(old.study.trials[1], storage=harness.storage)}
    old_attrs = records_of(old.study.trials[1])
    assert "weights.safetensors" in sums
    made = migrate_study(old, harness.artifacts, "next", space=written(tmp_path, OLD.replace("[none, ", "[")), trials=4)
    fits = [t for t in old.study.trials if t.params["gate"] != "none"]
    assert [row["outcome"] for row in made.rows].count("copied") == len(fits) >= 1
    assert harness.work(made.handle) == 4 - len(fits)
    assert [t.state for t in made.handle.study.trials] == [TrialState.COMPLETE] * 4
    ids = {file.artifact_id for trial in old.study.trials for file in list_files(trial, storage=harness.storage)}
    delete_study(harness.storage, "soy", harness.artifacts)
    copy = next(t for t in made.handle.study.trials if MIGRATED_FROM.key in t.user_attrs)
    # It was compared with the old study's linear probe.
    assert VERSUS_PROBE.key in old_attrs and VERSUS_PROBE.get(copy) is None
    assert "metric:accuracy" in copy.user_attrs and "metric:versus_probe" not in copy.user_attrs
    for file in list_files(copy, storage=harness.storage):
        assert file.artifact_id not in ids
        get_file(harness.artifacts, copy, file.filename, to=tmp_path, storage=harness.storage)


def test_an_interrupted_migration_is_completed(harness: StudyHarness, tmp_path: Path) -> None:
    old = harness.create(space=written(tmp_path, OLD), trials=1)
    harness.work(old)
    first = migrate_study(old, harness.artifacts, "next", trials=3)
    harness.sql(f"DELETE FROM study_user_attributes WHERE key = '{SPEC.key}' AND study_id = {first.handle.id}")
    stored = set(harness.artifacts.folder.iterdir())
    again = migrate_study(old, harness.artifacts, "next", trials=3)
    assert [t.user_attrs.get(MIGRATED_FROM.key) for t in again.handle.study.trials] == ["soy:0"]
    # Only the digests of the study are stored a second time, if at all: no bytes without an owner
    # stay.
    assert len(set(harness.artifacts.folder.iterdir()) - stored) <= 1
    for file in list_files(again.handle.study.trials[0], storage=harness.storage):
        get_file(harness.artifacts, again.handle.study.trials[0], file.filename, to=tmp_path, storage=harness.storage)


def test_a_fixed_field_leaves_the_trials_that_had_another(harness: StudyHarness, tmp_path: Path) -> None:
    old = finished(harness, tmp_path, {"gate": "none"}, {"gate": "mean"})
    made = migrate_study(old, harness.artifacts, "next", settings={"gate": "mean"})
    assert [row["reason"] for row in made.rows][1:] == ["`gate` = none, and the new study has mean", None]
    assert made.handle.spec.config.gate == "mean"
    assert [dimension.name for dimension in made.handle.spec.space.dimensions] == ["train.lr"]


def test_misuse_is_one_line_and_leaves_nothing(harness: StudyHarness, tmp_path: Path) -> None:
    old = finished(harness, tmp_path, {"gate": "meanmax"}, {"gate": "mean"})
    stored = set(harness.artifacts.folder.iterdir())
    misuses: list[tuple[dict[str, Any], type[UserError], str]] = [
        ({"name": "soy"}, UserError, "study `soy` exists; choose another name"),
        ({"name": "a/b"}, UsageError, "study name 'a/b' does not fit"),
        ({"trials": 2}, UsageError, "2 trials fit the new space and the new config is one more.*give `--trials 3`"),
        ({"settings": {"train.lrr": 1}}, UsageError, "`train.lrr` is not a config field"),
        ({"settings": {"boost.eta": 1}}, UsageError, "`boost.eta` cannot be set in a classifier study"),
        ({"settings": {"train.epochs": 0}}, UsageError, "`train.epochs` = 0: input should be"),
        ({"settings": {"train.mask_weight": 1, "gate": "none"}}, UsageError, "guides a gate, and gate=none has none"),
        ({"settings": {"encoder.name": "resnet0"}}, UserError, "resnet0"),
    ]
    for options, kind, message in misuses:
        with pytest.raises(kind, match=message) as caught:
            migrate_study(old, harness.artifacts, options.pop("name", "next"), **options)
        assert "\n" not in str(caught.value) and set(harness.artifacts.folder.iterdir()) == stored
    assert [study.study_name for study in harness.storage.get_all_studies()] == ["soy"]


def test_the_command_prints_a_row_a_trial(harness: StudyHarness, tmp_path: Path, postgres_url: str) -> None:
    finished(harness, tmp_path, {"gate": "none"}, {"train.lr": 0.001, "gate": "meanmax"})
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    printed = rows("study", "migrate", "soy", "--as", "next", "--set", "gate=meanmax", "--trials", 5, *places)
    assert [(row["number"], row["outcome"]) for row in printed] == [(0, "left"), (1, "left"), (2, "copied")]
    assert open_study(harness.storage, "next").spec.trials == 5


def test_trial_0_has_the_bases_view_where_the_new_space_searches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = set_fields(TrialConfig(), {"encoder.name": "test_resnet", "data.size": 64})
    given: dict[str, Any] = {"data": "leaves", "fingerprint": "", "classes": ("a", "b"), "space": {}}
    base = StudySpec(kind=Kind.CLASSIFIER, config=config, objectives=("accuracy",), **given)
    decoder = set_fields(TrialConfig(), {"decoder.kind": "unet"})
    spec = StudySpec(kind=Kind.DECODER, base="soy", config=decoder, objectives=("iou",), **given)
    assert spec.config.data.size == 128
    monkeypatch.setattr(migrate, "base_study", lambda old: SimpleNamespace(spec=base))
    old: Any = SimpleNamespace(spec=spec)
    made = migrate._new_spec(old, written(tmp_path, "data.size: [64, 128]\n"), {}, None)
    assert made.space.point(made.config) == {"data.size": 64}
