"""Studies that start from a trial, a bundle or a file, and sources that are refused in one line."""

import logging
from pathlib import Path
from typing import Any

import optuna
import pytest
import timm
import torch
from optuna.trial import TrialState
from safetensors.torch import save_file
from small_bundle import SmallBundle
from study_helpers import SETTINGS, StudyHarness

from venation.bundles.bundle import read_record
from venation.bundles.record import WEIGHTS
from venation.errors import UsageError, UserError
from venation.search.handle import StudyHandle
from venation.spaces.fields import set_fields
from venation.storage.artifacts import StoredFile, file_attr, get_file
from venation.storage.attributes import PROVENANCE
from venation.studies.base import known_base, recorded_config
from venation.studies.data import load_parts
from venation.studies.migrate import migrate_study
from venation.studies.registry import delete_study, find_study, get_trial
from venation.trials.checkpoint import read_weights


def first_network(harness: StudyHarness, handle: StudyHandle) -> dict[str, torch.Tensor]:
    context = harness.context(handle)
    base = recorded_config(context.base) if handle.spec.base and context.ready else None
    return context.network(handle.spec.on_base(base)).state_dict()


def test_a_study_starts_from_a_trial_that_need_not_stay(
    harness: StudyHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soy = harness.create()
    assert harness.work(soy) == 1
    path = get_file(harness.artifacts, get_trial(soy, 0), WEIGHTS, to=tmp_path, storage=harness.storage)
    weights = read_weights(path)
    with caplog.at_level(logging.INFO):
        again = harness.create("again", init="soy:0")
    assert f"starts from trial soy:0 (sha256 {again.spec.init.sha256[:12]}): {len(weights)} tensors" in caplog.text
    harness.create("again", init="soy:0")  # the same spec: a no-op
    assert not [d for d in again.spec.space.dimensions if d.name == "encoder.name"]
    delete_study(harness.storage, "soy", harness.artifacts)
    found = first_network(harness, again)
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
    assert harness.work(again) == 1
    assert PROVENANCE.need(get_trial(again, 0))["init"] == again.spec.init.model_dump()
    copy = migrate_study(again, harness.artifacts, "copy", settings={"train.label_smoothing": 0.1}).handle
    assert all(torch.equal(tensor, weights[name]) for name, tensor in first_network(harness, copy).items())
    # Another encoder would start from random weights.
    with pytest.raises(UsageError, match="study `again` starts from trial soy:0 .*: leave `encoder.name` out"):
        migrate_study(again, harness.artifacts, "other", settings={"encoder.name": "test_byobnet"})
    space = tmp_path / "space.yaml"
    space.write_text("encoder.name: [test_resnet, test_byobnet]\ntrain.lr: {low: 0.0001, high: 0.1, log: true}\n")
    with pytest.raises(UsageError, match="searches encoder.name, and all networks start from trial soy:0"):
        migrate_study(again, harness.artifacts, "searched", space=space)
    assert find_study(harness.storage, "searched") is None


def test_repeating_with_another_spec_changes_nothing_and_loads_nothing(
    harness: StudyHarness, caplog: pytest.LogCaptureFixture
) -> None:
    assert harness.work(harness.create()) == 1
    first = harness.create("next", init="soy")
    caplog.clear()
    # The source may have found a better trial, or be gone.
    delete_study(harness.storage, "soy", harness.artifacts)
    assert harness.create("next", init="soy").spec == first.spec
    assert harness.create("next", init=first.spec.init.source).spec == first.spec
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match=r"exists with another spec \(config.train.lr"):
        harness.create("next", init="soy", settings={"train.lr": 0.5})
    with pytest.raises(UserError, match=r"exists with another spec \(init.form: trial -> None"):
        harness.create("next")
    assert "starts from" not in caplog.text


def test_weights_that_know_images_of_the_validation_are_refused(harness: StudyHarness, tmp_path: Path) -> None:
    soy = harness.create()
    assert harness.work(soy) == 1
    manifest = {seed: load_parts(harness.data, soy.spec.split.model_copy(update={"seed": seed})) for seed in (0, 5)}
    learned = {sample.image for sample in manifest[0].split("train")}
    known = sum(s.image in learned for part in ("val", "test") for s in manifest[5].split(part))
    assert known > 0
    with pytest.raises(UserError, match=f"^`soy:0` has learned from {known} of the images .*--seed 0, no --folds"):
        harness.create("other", init="soy:0", seed=5)
    with pytest.raises(UserError, match=f"^`soy:0` has learned from {len(learned)} of the images that this study"):
        harness.create("folds", init="soy:0", folds=2)


def test_a_decoder_takes_the_decoder_of_a_bundle(
    harness: StudyHarness, small_bundle: SmallBundle, caplog: pytest.LogCaptureFixture
) -> None:
    record, weights = read_record(small_bundle.path), read_weights(small_bundle.path / WEIGHTS)
    base = harness.create(data=small_bundle.leaves, settings={"data.size": 64})
    assert harness.work(base) == 1
    settings = {f"decoder.{name}": getattr(record.config.decoder, name) for name in ("kind", "channels", "full_size")}
    settings |= {"decoder.detail": record.config.decoder.detail, "data.fit": "squash"}
    with caplog.at_level(logging.INFO):
        veins = harness.create("veins", "decoder", base="soy", init=str(small_bundle.path), settings=settings)
    assert veins.spec.init.sha256 == record.record_sha256
    found = first_network(harness, veins)
    drawn = {name for name in weights if name.startswith("decoder.")}
    assert drawn and all(torch.equal(found[name], weights[name]) for name in drawn)
    assert not torch.equal(found["head.weight"], weights["head.weight"])


def test_a_decoder_is_compared_with_its_own_base(harness: StudyHarness, small_bundle: SmallBundle) -> None:
    """Take a base whose encoder is not that of the base study's trial 0."""
    settings = {"data.size": 64, "encoder.name": "test_byobnet"}
    base = harness.create(data=small_bundle.leaves, settings=settings, trials=2)
    config = set_fields(base.spec.config, {"encoder.name": "test_resnet"})
    key, record = file_attr(StoredFile("0", WEIGHTS, "", None))
    attrs = {"user_attrs": {"config": config.model_dump(mode="json")}, "system_attrs": {key.key: record}}
    base.study.add_trial(optuna.trial.create_trial(value=0.9, **attrs))
    number = base.study.trials[-1].number
    assert known_base(harness.storage, "soy").encoder.name == "test_byobnet"  # the study has not ended
    assert known_base(harness.storage, f"soy:{number}") == config
    decoder = read_record(small_bundle.path).config.decoder
    fields = {f"decoder.{name}": getattr(decoder, name) for name in ("kind", "channels", "full_size", "detail")}
    options = {"init": str(small_bundle.path), "settings": fields}
    assert harness.create("veins", "decoder", base=f"soy:{number}", **options).spec.init is not None
    with pytest.raises(UserError, match="has the encoder test_resnet, and the study test_byobnet"):
        harness.create("other", "decoder", base="soy", **options)
    harness.end_next(base, TrialState.FAIL)
    assert known_base(harness.storage, "soy") == config


def test_a_space_with_an_encoder_and_weights_are_refused(harness: StudyHarness, tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "encoder.safetensors")
    space = tmp_path / "space.yaml"
    space.write_text("encoder.name: [test_resnet, test_byobnet]\n")
    with pytest.raises(UsageError, match="searches encoder.name, and all networks start from `--init .*take it out"):
        harness.create(init=str(tmp_path / "encoder.safetensors"), space=space)
    assert find_study(harness.storage, "soy") is None


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_an_encoder_in_a_file_has_timms_names(harness: StudyHarness, tmp_path: Path, ending: str) -> None:
    torch.manual_seed(5)
    state = timm.create_model("test_resnet", num_classes=9).state_dict()
    path = tmp_path / f"encoder.{ending}"
    save_file(state, path) if ending == "safetensors" else torch.save({"state_dict": state}, path)
    found = first_network(harness, harness.create(init=str(path)))
    body = {name: tensor for name, tensor in found.items() if name.endswith("layer4.0.conv1.weight")}
    assert len(body) == 1 and torch.equal(*body.values(), state["layer4.0.conv1.weight"])


@pytest.mark.parametrize(
    ("source", "options", "error", "says"),
    [
        ("nowhere", {}, UsageError, "`--init nowhere` is no file, no bundle and no study"),
        ("soy:0", {"settings": {"encoder.name": "test_byobnet"}}, UserError, "give --set encoder.name=test_resnet"),
        ("half.safetensors", {}, UserError, "tensors of test_resnet are in"),
        ("text.safetensors", {}, UserError, "is not a readable safetensors file"),
        ("code.pth", {}, UserError, "contains more than tensors"),
        ("folder", {}, UserError, "has no bundle.json"),
    ],
)
def test_a_source_that_does_not_fit_is_one_line(
    harness: StudyHarness, tmp_path: Path, source: str, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    state = timm.create_model("test_resnet").state_dict()
    save_file({name: tensor for name, tensor in state.items() if "layer4" not in name}, tmp_path / "half.safetensors")
    (tmp_path / "text.safetensors").write_text("weights")
    torch.save({"state_dict": state, "made": Path("x")}, tmp_path / "code.pth")
    (tmp_path / "folder").mkdir()
    if source == "soy:0":
        assert harness.work(harness.create()) == 1
    given = source if ":" in source else str(tmp_path / source) if (tmp_path / source).exists() else source
    with pytest.raises(error) as refused:
        harness.create("again", init=given, **options)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_booster_starts_from_no_weights(harness: StudyHarness) -> None:
    assert harness.work(harness.create(settings=SETTINGS)) == 1
    with pytest.raises(UsageError, match="a booster study trains no network that `--init soy:0` could start"):
        harness.create("boost", "booster", base="soy", init="soy:0")
