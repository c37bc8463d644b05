"""Whole studies on one worker: the chain of kinds, failing trials, wrong data."""

import json
import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState
from safetensors.torch import load_file
from sklearn.metrics import log_loss
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse
from study_helpers import SETTINGS, StudyHarness

from venation.bundles.record import WEIGHTS
from venation.errors import DataError, UserError
from venation.leases.budget import count_states
from venation.spaces.classifier import CLASSIFIER_SPACE
from venation.spaces.fields import get_field, set_fields
from venation.storage.artifacts import get_file, list_files
from venation.storage.attributes import BASE, METRICS, PROVENANCE, SPEC
from venation.studies.base import pinned_base, recorded_config
from venation.studies.registry import best_trial, delete_study
from venation.trials import features
from venation.trials.image_outcomes import ImageOutcomes
from venation.trials.trial_config import TrialConfig
from venation.upkeep.orphans import verify_store
from venation.workers.boost_trial import BOOSTER

TINY_DECODER = {"train.epochs": 1, "train.batch_size": 8, "decoder.channels": 8}


def test_a_decoder_and_a_booster_wait_for_their_base_and_freeze_its_best_trial(
    harness: StudyHarness, tmp_path: Path
) -> None:
    base = harness.create("soy", trials=2)
    veins = harness.create("veins", "decoder", base="soy", settings=TINY_DECODER)
    boost = harness.create("boost", "booster", base="soy", trials=2)
    assert pinned_base(veins) is None
    assert harness.work(veins, boost, base) == 5
    best = best_trial(base)
    assert best is not None
    ends = {}
    for handle in (veins, boost):
        assert handle.study.user_attrs[BASE.key] == best.number
        assert count_states(handle) == {TrialState.COMPLETE: handle.spec.trials}
        ends[handle.spec.kind] = handle.study.get_trials()[0]
        own, frozen = recorded_config(ends[handle.spec.kind]), recorded_config(best)
        assert (own.encoder, own.gate) == (frozen.encoder, frozen.gate) and own.data.same_view(frozen.data)
    # A search began only after its base had ended.
    started = min(trial.datetime_start for trial in ends.values())
    assert started >= max(trial.datetime_complete for trial in base.study.get_trials())
    weights = load_file(
        get_file(harness.artifacts, ends["decoder"], "weights.safetensors", to=tmp_path, storage=harness.storage)
    )
    assert weights and all(name.startswith("decoder.") for name in weights)
    for kind, objective in (("decoder", "iou"), ("booster", "logloss")):
        path = get_file(harness.artifacts, ends[kind], "metrics.json", to=tmp_path, storage=harness.storage)
        assert json.loads(path.read_text())[objective] == ends[kind].value


def test_a_finished_trial_has_its_files_and_provenance(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create()
    harness.work(handle)
    (trial,) = handle.study.get_trials()
    names = {file.filename for file in list_files(trial, storage=handle.storage)}
    assert names == {"metrics.json", "outcomes.json", "samples.png", "weights.safetensors"}
    answered = ImageOutcomes.read(
        get_file(harness.artifacts, trial, "outcomes.json", to=tmp_path, storage=handle.storage)
    )
    assert (answered.answer_I == answered.label_I).mean() == trial.value
    assert all(Path(harness.data, image).is_file() for image in answered.images)
    assert METRICS.need(trial)["accuracy"] == trial.user_attrs["metric:accuracy"] == trial.value
    assert PROVENANCE.need(trial) and recorded_config(trial).encoder.name == "test_resnet"


def test_a_trial_that_repeats_a_point_gets_its_own_seed_and_keeps_it(harness: StudyHarness) -> None:
    handle = harness.create(trials=4)
    first = handle.spec.space.point(handle.spec.config)
    for point in (first, first | {"gate": "mean"}, first):
        handle.study.enqueue_trial(point)
    # As after an attempt that began before the point was known to be a repetition.
    begun = set_fields(handle.spec.config, {"train.seed": 5, "boost.seed": 6}).model_dump(mode="json")
    last = handle.study.get_trials()[3]._trial_id
    handle.storage.set_trial_user_attr(last, "config", begun)
    harness.work(handle)
    seeds = [(config.train.seed, config.boost.seed) for config in map(recorded_config, handle.study.get_trials())]
    own = handle.spec.trial_seed(1)
    assert seeds == [(0, 0), (own, own), (0, 0), (5, 6)]
    assert [trial.state for trial in handle.study.get_trials()] == [TrialState.COMPLETE] * 4
    stored = [file for trial in handle.study.get_trials() for file in list_files(trial, storage=handle.storage)]
    assert len({file.sha256 for file in stored if file.filename == WEIGHTS}) == 4


def test_a_decoder_study_alone_reports_an_unfinished_base(harness: StudyHarness) -> None:
    harness.create("soy")
    veins = harness.create("veins", "decoder", base="soy")
    with pytest.raises(
        UserError, match="`veins` needs a finished trial of its base study `soy`.*`venation worker soy veins`"
    ):
        harness.work(veins)
    assert count_states(veins) == {TrialState.WAITING: 1}


def test_a_base_that_ends_without_a_result_ends_the_wait(harness: StudyHarness) -> None:
    soy = harness.create("soy")
    veins = harness.create("veins", "decoder", base="soy")
    harness.end_next(soy, TrialState.FAIL)
    with pytest.raises(UserError, match="base study `soy` has ended without a finished trial"):
        harness.work(veins)


def test_a_base_by_number_needs_no_wait(harness: StudyHarness) -> None:
    soy = harness.create("soy", trials=9)
    assert harness.work(soy, max_trials=1) == 1
    boost = harness.create("boost", "booster", base="soy:0", settings={"boost.rounds": 2})
    assert harness.work(boost) == 1
    assert count_states(soy) == {TrialState.COMPLETE: 1}


def test_features_are_extracted_once_for_all_machines_and_studies_on_a_base(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soy = harness.create("soy")
    boost, again = (harness.create(name, "booster", base="soy", trials=1) for name in ("boost", "again"))
    harness.work(soy, boost)
    mine = harness.context(boost).features.split("val")
    kept = [file.artifact_id for file in list_files(soy.study) if file.filename.startswith("features-")]
    assert len(kept) == 4, "two splits, as they are and blanked"
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "another machine"))
    monkeypatch.setattr(features, "pool_features", None)
    for handle in (boost, again):
        theirs = harness.context(handle).features.split("val")
        assert (theirs.x == mine.x).all() and (theirs.probabilities == mine.probabilities).all()
    assert harness.work(again) == 1
    for name, there in (("boost", True), ("again", True), ("soy", False)):
        assert verify_store(harness.storage, harness.artifacts).sound
        delete_study(harness.storage, name, harness.artifacts)
        assert [(harness.artifacts.folder / artifact_id).exists() for artifact_id in kept] == [there] * 4


@pytest.mark.parametrize(("blank", "views"), [(0.0, 1), (0.25, 2)])
def test_a_booster_sees_blanked_images_if_its_base_did(harness: StudyHarness, blank: float, views: int) -> None:
    soy = harness.create("soy", settings={"data.blank": blank})
    boost = harness.create("boost", "booster", base="soy", trials=1)
    harness.work(soy, boost)
    found = harness.context(boost).features
    images = len(found.split("train").y) + len(found.split("val").y)
    data = found.joined
    assert len(data.y_N) == views * images
    if views == 2:
        assert data.weight_N is not None
        assert sorted(set(data.weight_N.tolist())) == pytest.approx([1 / 3, 1])


def test_damaged_or_missing_features_are_extracted_again(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    soy = harness.create("soy")
    boost = harness.create("boost", "booster", base="soy", trials=1)
    harness.work(soy, boost)
    mine = harness.context(boost).features.split("val")
    kept = {file.filename: harness.artifacts.folder / file.artifact_id for file in list_files(soy.study)}
    for number, (change, said) in enumerate((("damage", "is damaged"), ("remove", "not in the artifact store"))):
        for name, path in kept.items():
            if name.startswith("features-"):
                path.write_bytes(b"none") if change == "damage" else path.unlink()
        monkeypatch.setenv("VENATION_HOME", str(tmp_path / f"machine {number}"))
        assert (harness.context(boost).features.split("val").x == mine.x).all()
        assert said in caplog.text and "extracted again" in caplog.text


def test_a_booster_study_starts_with_its_baselines(harness: StudyHarness) -> None:
    soy = harness.create("soy")
    boost = harness.create("boost", "booster", base="soy", trials=4, pruner=None)
    assert boost.spec.pruner == "wilcoxon"
    harness.work(soy, boost)
    trials = boost.study.get_trials()
    assert [trial.params["boost.booster"] for trial in trials[:3]] == ["logistic", "head", "gblinear"]
    assert all(len(trial.intermediate_values) == 5 for trial in trials if trial.state == TrialState.COMPLETE)
    head = harness.context(boost).features.split("val")
    assert trials[1].value == pytest.approx(log_loss(head.y, head.probabilities), rel=1e-5)
    assert not [file for file in list_files(trials[1], storage=boost.storage) if file.filename == BOOSTER]


def test_diverging_trials_fail_with_their_cause_and_the_study_continues(harness: StudyHarness) -> None:
    handle = harness.create(trials=2, settings={"train.lr": 1e30, "train.optimizer": "sgd", "train.epochs": 2})
    assert harness.work(handle) == 2
    trials = handle.study.get_trials()
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 2
    assert all(trial.user_attrs["cause"].startswith("nan: ") for trial in trials)


def test_an_unusable_config_fails_with_its_cause_and_the_study_continues(harness: StudyHarness, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("data.fit: [squash, crop]\ndata.zoom: [1.0, 1.5]\n")
    handle = harness.create(trials=8, space=space, sampler="random")
    assert harness.work(handle) == 8
    failed = [trial for trial in handle.study.get_trials() if trial.state == TrialState.FAIL]
    crops = [trial for trial in handle.study.get_trials() if trial.params == {"data.fit": "crop", "data.zoom": 1.5}]
    assert failed == crops and failed
    assert all(trial.user_attrs["cause"].startswith("config: ") for trial in failed)


def test_without_a_space_every_trial_repeats_the_recipe_with_its_own_seed(harness: StudyHarness) -> None:
    searched = [dimension.name for dimension in CLASSIFIER_SPACE.dimensions if dimension.name not in SETTINGS]
    handle = harness.create(trials=2, settings={name: get_field(TrialConfig(), name) for name in searched})
    assert not handle.spec.space.dimensions
    harness.work(handle)
    configs = [recorded_config(trial) for trial in handle.study.get_trials()]
    assert [config.train.seed for config in configs] == [handle.spec.trial_seed(number) for number in range(2)]
    assert len({_without_seeds(config) for config in configs}) == 1


def _without_seeds(config: TrialConfig) -> str:
    tree = config.model_dump()
    del tree["train"]["seed"], tree["boost"]["seed"]
    return json.dumps(tree)


def test_different_data_are_refused_and_the_files_named(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create()
    other = shutil.copytree(harness.data, tmp_path / "other")
    assert harness.context(handle, data=other).manifest.classes == handle.spec.classes, "a true copy elsewhere will do"
    gone, changed = sorted((other / "images" / "cultivar_01").iterdir())[:2]
    gone.unlink()
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(DataError) as caught:
        harness.context(handle, data=other)
    message = str(caught.value)
    assert f"`{other}` does not hold the data of study `soy`" in message and "\n" not in message
    assert f"missing: images/cultivar_01/{gone.name}" in message
    assert f"changed: images/cultivar_01/{changed.name}" in message


def test_a_worker_of_another_version_names_the_keys_that_differ(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create()
    spec = handle.study.user_attrs[SPEC.key]
    spec["config"]["train"]["lookahead"] = 5
    del spec["fingerprint"]
    handle.study.set_user_attr(SPEC.key, spec | {"flavour": "of tomorrow"})
    places = ("--device", "cpu", "--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    says = ("study `soy` was created by another version", "`config.train.lookahead`", "`flavour`", "`fingerprint`")
    refuse(EXPECTED_FAILURE, "worker", "soy", *places, says=says)
    assert count_states(handle) == {TrialState.WAITING: 1}


def test_a_missing_gpu_is_refused_before_a_claim(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create()
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    refuse(MISUSE, "worker", "soy", "--device", "cuda:7", *places, says=("`cuda:7`", "GPU", "cpu"))
    assert count_states(handle) == {TrialState.WAITING: 1}


def test_a_study_under_hyperband_ends(harness: StudyHarness) -> None:
    handle = harness.create(trials=3, pruner="hyperband", settings={"train.epochs": 3})
    assert harness.work(handle) == 3
    assert count_states(handle).keys() <= {TrialState.COMPLETE, TrialState.PRUNED}
