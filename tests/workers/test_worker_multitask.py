"""Multitask studies on a real worker: both answers, folds, the bundle, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_helpers import SETTINGS, StudyHarness

from venation import load_bundle
from venation.bundles.bundle import read_record
from venation.bundles.masks import write_masks
from venation.bundles.verify import check_bundle
from venation.data.images import read_mask
from venation.errors import UsageError, UserError
from venation.insight.plan import plan_study
from venation.reports.study_report import report_study
from venation.search.handle import StudyHandle
from venation.storage.artifacts import get_file, list_files
from venation.storage.attributes import METRICS
from venation.studies.base import recorded_config
from venation.studies.export import export_studies
from venation.studies.registry import get_trial
from venation.trials.image_masks import MASK_OUTCOMES, ImageMasks
from venation.trials.image_outcomes import OUTCOMES, ImageOutcomes

SMALL = SETTINGS | {"decoder.kind": "unet", "decoder.channels": 8, "train.decoder_lr": 2.0}


def make(harness: StudyHarness, name: str = "both", **options: Any) -> StudyHandle:
    settings = SMALL | options.pop("settings", {})
    return harness.create(name, "multitask", data=harness.data, settings=settings, **options)


def test_one_network_gives_label_and_mask(harness: StudyHarness, tmp_path: Path) -> None:
    """The trial's values are those of the exported bundle on the validation images, by NumPy."""
    handle = make(harness, objective=("accuracy", "iou"), settings={"train.epochs": 2})
    plan = plan_study(harness.context(handle))
    assert plan["hours"] > 0 and plan["points"][0]["trained"] == plan["points"][0]["parameters"]
    assert harness.work(handle) == 1
    trial, context = get_trial(handle, 0), harness.context(handle)
    metrics = METRICS.need(trial)
    assert trial.values == [metrics["accuracy"], metrics["iou"]]
    assert metrics["accuracy_iou"] == pytest.approx(sum(trial.values) / 2) and {"logloss", "bce"} <= metrics.keys()
    names = {file.filename for file in list_files(trial, storage=harness.storage)}
    assert {"weights.safetensors", "samples.png", "outcomes.json", MASK_OUTCOMES} <= names
    read = {name: get_file(harness.artifacts, trial, name, to=tmp_path, storage=harness.storage) for name in names}
    answered, drawn = ImageOutcomes.read(read[OUTCOMES]), ImageMasks.read(read[MASK_OUTCOMES])
    assert list(answered.images) == list(drawn.images)

    out = export_studies(harness.storage, harness.artifacts, ["both"], out=tmp_path / "b.bundle", device="cpu")
    record = read_record(out)
    assert [source.kind for source in record.sources] == ["multitask"] and record.mask_data is None
    assert record.config == recorded_config(trial)
    assert check_bundle(out)["onnx_difference"] < 1e-3
    with pytest.raises(UserError, match="trained for labels and masks at once.*no decoder on it is out of fold"):
        write_masks(out, harness.data, out=tmp_path / "drawn", folds=2, everything=True)
    samples = context.manifest.split("val")
    found = load_bundle(out).predict([sample.image for sample in samples])
    right = [each.label == sample.label for each, sample in zip(found, samples, strict=True)]
    assert np.mean(right) == pytest.approx(metrics["accuracy"])
    pairs = [
        (each.mask > 0, read_mask(sample.mask, each.mask.shape[::-1]) > 0)
        for each, sample in zip(found, samples, strict=True)
        if sample.mask is not None and each.mask is not None
    ]
    shared, either = (sum(int(join(*pair).sum()) for pair in pairs) for join in (np.logical_and, np.logical_or))
    # Prediction has the images' own size, validation that of the view.
    assert len(pairs) == len(samples) and shared / either == pytest.approx(metrics["iou"], abs=0.05)


def test_folds_are_an_ensemble_of_whole_networks(harness: StudyHarness, tmp_path: Path) -> None:
    handle = make(harness, folds=2, objective="accuracy_iou", settings={"train.epochs": 1})
    assert harness.work(handle) == 1
    trial = get_trial(handle, 0)
    names = {file.filename for file in list_files(trial, storage=harness.storage)}
    assert {"weights.fold1.safetensors", "weights.fold2.safetensors", OUTCOMES, MASK_OUTCOMES} <= names
    out = export_studies(harness.storage, harness.artifacts, ["both"], out=tmp_path / "b.bundle", device="cpu")
    assert check_bundle(out)["onnx_difference"] < 1e-3 and read_record(out).has_folds("multitask")
    image = harness.context(handle).manifest.split("test")[0].image
    (answer,) = load_bundle(out).predict(image)
    assert answer.mask is not None and sum(p for _, p in answer.top) == pytest.approx(1, abs=1e-5)


def test_two_trials_join_in_one_bundle(harness: StudyHarness, tmp_path: Path) -> None:
    handle = make(harness, trials=2, objective="iou")
    assert harness.work(handle) == 2
    out = export_studies(harness.storage, harness.artifacts, ["both"], out=tmp_path / "b.bundle", device="cpu", top=2)
    assert len(read_record(out).members) in (0, 2)
    assert harness.work(harness.create("labels")) == 1
    with pytest.raises(UsageError, match="`both` is a multitask study.*export it alone"):
        export_studies(harness.storage, harness.artifacts, ["both", "labels"], out=tmp_path / "c.bundle")
    page = report_study(handle, harness.artifacts, tmp_path / "report", device="cpu").read_text()
    assert "IoU 0." in page and "Left the true mask" in page and "Classes" in page


@pytest.mark.parametrize(
    ("settings", "options", "says"),
    [
        ({"data.fit": "patch"}, {}, "a label needs the whole one"),
        ({"data.blank": 0.3}, {}, "`data.blank` cannot be set in a multitask study: it would show a decoder the mask"),
        ({"train.mixup": 0.2}, {}, "mixed images have no mask for the decoder: set train.mixup=0.0"),
        ({"train.wise_ft": "auto", "train.head_start": "probe"}, {}, "set train.wise_ft=False"),
        ({"decoder.kind": "none"}, {}, "decoder.kind=none draws nothing"),
        ({"decoder.tune_encoder": True}, {}, "this study trains the encoder itself: leave it out"),
        ({"boost.rounds": 3}, {}, "`boost.rounds` cannot be set in a multitask study"),
        ({}, {"search": "oneshot"}, "on a frozen base, and this is a multitask study"),
        ({}, {"base": "soy"}, "a multitask study freezes nothing"),
        ({}, {"objective": "ece"}, "choose from: accuracy, macro_f1, logloss, iou, dice, iou_ref, accuracy_iou"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    harness: StudyHarness, settings: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        make(harness, settings=settings, **options)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_classifier_refuses_a_field_of_both(harness: StudyHarness) -> None:
    with pytest.raises(UsageError, match="train.mask_loss_weight=2.0 is for a training that learns labels and masks"):
        harness.create(settings={"train.mask_loss_weight": 2.0})


def test_data_without_masks_are_refused(harness: StudyHarness, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(harness.data / "images")
    with pytest.raises(UserError, match="has no masks in its train split, and a decoder learns from them"):
        make(replace(harness, data=tmp_path))
