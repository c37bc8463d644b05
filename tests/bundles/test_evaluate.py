"""Scores, tables, groups and flips of ``evaluate_bundle`` and ``venation evaluate``."""

import csv
import functools
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from sklearn import metrics as sk
from small_bundle import BAD_DATA, EXPECTED_FAILURE, MISUSE, SmallBundle, refuse, rows, succeed
from torchmetrics.functional.classification import multiclass_accuracy

from venation import Prediction, load_bundle
from venation.bundles.bundle import read_record
from venation.bundles.evaluate import evaluate_bundle
from venation.bundles.predict import predict_paths
from venation.bundles.record import IMAGES
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.errors import DataError

CPU = torch.device("cpu")
CLASSES = ["cultivar_00", "cultivar_01", "cultivar_02"]
GROUPS = {"cultivar_00": "smooth", "cultivar_01": "lobed", "cultivar_02": "smooth"}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def predict_test_split(small_bundle: SmallBundle, out: Path, **options: bool) -> tuple[list[str], list[str]]:
    """Return labels and predictions of the bundle's own test split."""
    split = read_record(small_bundle.path).split
    own = assign_splits(load_manifest(small_bundle.leaves), seed=split.seed, val=split.val, test=split.test).split(
        "test"
    )
    found = predict_paths(small_bundle.path, [sample.image for sample in own], out, **options)
    return [sample.label for sample in own], [row["label"] for row in found]


def grouped(small_bundle: SmallBundle, folder: Path, groups: object = GROUPS) -> Path:
    data = Path(shutil.copytree(small_bundle.leaves, folder))
    (data / "groups.json").write_text(json.dumps(groups))
    return data


def test_tables_equal_those_of_the_predictions(small_bundle: SmallBundle, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "tables"
    printed = rows("evaluate", small_bundle.path, small_bundle.leaves, "-o", out, "--device", "cpu")
    assert {path.name for path in out.iterdir()} == {
        *("scores.csv", "images.csv", "per_class.csv", "confusion.csv", "confusion.png"),
    }
    label, guess = predict_test_split(small_bundle, tmp_path / "predicted")
    assert [list(row) for row in printed] == [["part", "images", "metric", "value", "low", "high"]] * len(printed)
    for row, written in zip(printed, table(out / "scores.csv"), strict=True):
        assert written["metric"] == row["metric"] and float(written["value"]) == row["value"]
    counts = [[int(row[name]) for name in CLASSES] for row in table(out / "confusion.csv")]
    np.testing.assert_array_equal(counts, sk.confusion_matrix(label, guess, labels=CLASSES))
    expected = sk.precision_recall_fscore_support(label, guess, labels=CLASSES, zero_division=0)
    for index, row in enumerate(table(out / "per_class.csv")):
        assert (row["part"], row["class"]) == ("test", CLASSES[index])
        found = [float(row[name]) for name in ("precision", "recall", "f1", "images")]
        assert found == pytest.approx([column[index] for column in expected], abs=1e-6)
    images = table(out / "images.csv")
    assert [(row["label"], row["answer"]) for row in images] == list(zip(label, guess, strict=True))
    assert [row["right"] for row in images] == [str(int(a == b)) for a, b in zip(label, guess, strict=True)]
    with (tmp_path / "predicted" / "predictions.csv").open() as file:
        predicted = list(csv.DictReader(file))
    for row, other in zip(images, predicted, strict=True):
        assert str(small_bundle.leaves / row["image"]) == other["path"]
        for name in ("probability", *(f"probability/{each}" for each in CLASSES)):
            assert float(row[name]) == pytest.approx(float(other[name]), abs=2e-6)
    with Image.open(out / "confusion.png") as picture:
        assert picture.format == "PNG" and picture.width > 3 * 40


def test_masks_and_overlays_are_those_of_predict(small_bundle: SmallBundle, tmp_path: Path) -> None:
    succeed("evaluate", small_bundle.path, small_bundle.leaves, "-o", tmp_path / "a", "--overlay", "--device", "cpu")
    images = table(tmp_path / "a" / "images.csv")
    paths = [small_bundle.leaves / row["image"] for row in images]
    predict_paths(small_bundle.path, paths, tmp_path / "b", overlay=True, device="cpu")
    for row, other in zip(images, table(tmp_path / "b" / "predictions.csv"), strict=True):
        for column in ("mask", "overlay"):
            assert row[column] == other[column]
            assert (tmp_path / "a" / row[column]).read_bytes() == (tmp_path / "b" / row[column]).read_bytes()
    refuse(MISUSE, "evaluate", small_bundle.path, small_bundle.leaves, "--overlay", says=("-o",))


def test_the_final_scoring_has_every_metric(small_bundle: SmallBundle) -> None:
    found = {row["metric"] for row in evaluate_bundle(small_bundle.path, small_bundle.leaves, device=CPU)}
    assert found == {
        *("accuracy", "macro_f1", "logloss", "ece", "head_accuracy", "head_logloss", "accuracy_blanked"),
        *("iou", "iou_ref", "dice", "boundary_f", "bce", "iou_image", "dice_image"),
    }


def test_masks_are_scored_at_the_original_image_size(small_bundle: SmallBundle, tmp_path: Path) -> None:
    found = {row["metric"]: row for row in evaluate_bundle(small_bundle.path, small_bundle.leaves, device=CPU)}
    predict_test_split(small_bundle, tmp_path)
    split = read_record(small_bundle.path).split
    own = assign_splits(load_manifest(small_bundle.leaves), seed=split.seed, val=split.val, test=split.test).split(
        "test"
    )
    both = predicted_sum = drawn = 0
    for sample in own:
        assert sample.mask is not None
        predicted = np.asarray(Image.open(tmp_path / "masks" / f"{sample.image.stem}.png")) > 0
        actual = np.asarray(Image.open(sample.mask)) > 0
        assert predicted.shape == actual.shape
        both, drawn = both + (predicted & actual).sum(), drawn + actual.sum()
        predicted_sum += predicted.sum()
    iou, dice = found["iou_image"], found["dice_image"]
    assert iou["value"] == pytest.approx(both / (predicted_sum + drawn - both))
    assert dice["value"] == pytest.approx(2 * both / (predicted_sum + drawn))
    assert iou["low"] <= iou["value"] <= iou["high"] and iou["low"] < iou["high"]


def test_classes_match_those_of_the_bundle_in_spite_of_blanks(small_bundle: SmallBundle, tmp_path: Path) -> None:
    data = grouped(small_bundle, tmp_path / "data", {f"{name} ": group for name, group in GROUPS.items()})
    expected = evaluate_bundle(small_bundle.path, grouped(small_bundle, tmp_path / "plain"), device=CPU)
    (data / "images" / CLASSES[0]).rename(data / "images" / f"{CLASSES[0]} ")
    assert evaluate_bundle(small_bundle.path, data, device=CPU) == expected


def test_groups_of_the_data_are_scored(small_bundle: SmallBundle, tmp_path: Path) -> None:
    data = grouped(small_bundle, tmp_path / "data")
    found = {row["metric"]: row for row in rows("evaluate", small_bundle.path, data, "-o", tmp_path / "out")}
    label, guess = predict_test_split(small_bundle, tmp_path / "predicted")
    smooth = [(true, said) for true, said in zip(label, guess, strict=True) if GROUPS[true] == "smooth"]
    right = sum(true == said for true, said in smooth)
    outer = sum(GROUPS[said] != "smooth" for _, said in smooth)
    assert found["fine_accuracy/smooth"]["value"] == pytest.approx(right / len(smooth))
    assert found["fine_accuracy/smooth"]["images"] == len(smooth)
    assert found["outer_errors/smooth"]["value"] == outer
    same = [GROUPS[true] == GROUPS[said] for true, said in zip(label, guess, strict=True)]
    assert found["group_accuracy"]["value"] == pytest.approx(np.mean(same))
    # A group of one class has no finer errors, but is listed in the table.
    assert "fine_accuracy/lobed" not in found
    by_name = {row["group"]: row for row in table(tmp_path / "out" / "groups.csv")}
    assert set(by_name) == {"smooth", "lobed"}
    assert [int(by_name["smooth"][name]) for name in ("classes", "images", "right", "outer_errors")] == [
        *(2, len(smooth), right, outer),
    ]


def test_a_given_map_overrides_the_map_of_the_data(small_bundle: SmallBundle, tmp_path: Path) -> None:
    data = grouped(small_bundle, tmp_path / "data", groups={"not": "read"})
    own = tmp_path / "own.json"
    own.write_text(json.dumps(dict.fromkeys(CLASSES, "all")))
    found = {row["metric"]: row["value"] for row in rows("evaluate", small_bundle.path, data, "--groups", own)}
    assert found["group_accuracy"] == 1.0 and found["outer_errors/all"] == 0
    assert found["fine_accuracy/all"] == found["accuracy"]


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({**GROUPS, "oak": "x"}, "class oak, which the model does not know"),
        ({"cultivar_00": "x"}, "gives class cultivar_01, cultivar_02 no group"),
        ([1, 2], "not a flat JSON object"),
    ],
)
def test_an_invalid_map_of_groups_is_one_line(
    small_bundle: SmallBundle, tmp_path: Path, groups: object, says: str
) -> None:
    data = grouped(small_bundle, tmp_path / "data", groups)
    refuse(BAD_DATA, "evaluate", small_bundle.path, data, says=("groups.json", says))


def test_a_missing_map_or_an_unusable_folder_is_one_line(small_bundle: SmallBundle, tmp_path: Path) -> None:
    absent = tmp_path / "absent.json"
    refuse(
        BAD_DATA,
        "evaluate",
        small_bundle.path,
        small_bundle.leaves,
        "--groups",
        absent,
        says=("absent.json cannot be read",),
    )
    (tmp_path / "out").write_text("mine")
    out = tmp_path / "out"
    refuse(
        EXPECTED_FAILURE, "evaluate", small_bundle.path, small_bundle.leaves, "-o", out, says=("choose another folder",)
    )
    assert out.read_text() == "mine"


def test_evaluation_and_prediction_use_the_same_flips(small_bundle: SmallBundle, tmp_path: Path) -> None:
    assert read_record(small_bundle.path).config.data.hflip > 0
    plain = {row["metric"]: row["value"] for row in rows("evaluate", small_bundle.path, small_bundle.leaves)}
    flipped = {
        row["metric"]: row["value"] for row in rows("evaluate", small_bundle.path, small_bundle.leaves, "--flips")
    }
    assert plain.keys() == flipped.keys()
    assert flipped["logloss"] != plain["logloss"] and flipped["bce"] != plain["bce"]
    label, guess = predict_test_split(small_bundle, tmp_path / "out", flips=True)
    assert flipped["accuracy"] == pytest.approx(
        np.mean([true == said for true, said in zip(label, guess, strict=True)])
    )
    single = predict_paths(small_bundle.path, [small_bundle.leaves / "images"], tmp_path / "single")
    mean = predict_paths(small_bundle.path, [small_bundle.leaves / "images"], tmp_path / "mean", flips=True)
    assert [row["probability"] for row in single] != [row["probability"] for row in mean]


def test_flips_of_a_bundle_trained_without_any_log_a_warning(
    small_bundle: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = Path(shutil.copytree(small_bundle.path, tmp_path / "copy"))
    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr("venation.bundles.predict.trained_flips", lambda config: ((),))
        evaluate_bundle(bundle, small_bundle.leaves, device=CPU, flips=True)
    assert caplog.text.count("trained without flips") == 1


def test_only_the_test_split_of_the_bundles_own_data_is_scored(small_bundle: SmallBundle, tmp_path: Path) -> None:
    record = read_record(small_bundle.path)
    scores = {row["metric"]: row for row in evaluate_bundle(small_bundle.path, small_bundle.leaves, device=CPU)}
    assert {(row["part"], row["images"]) for row in scores.values()} == {("test", record.images["test"])}
    for metric, recorded in record.metrics["test"].items():
        assert scores[metric]["value"] == pytest.approx(recorded.value, abs=1e-6), metric
    # An independent count: the predictions of the test split against its labels.
    split = record.split
    own = assign_splits(load_manifest(small_bundle.leaves), seed=split.seed, val=split.val, test=split.test).split(
        "test"
    )
    known = json.loads((small_bundle.path / IMAGES).read_text())
    assert sorted(hashlib.sha256(sample.image.read_bytes()).hexdigest() for sample in own) == known["test"]
    found = predict_paths(small_bundle.path, [sample.image for sample in own], tmp_path / "out")
    predicted = torch.tensor([record.classes.index(row["label"]) for row in found])
    target = torch.tensor([record.classes.index(sample.label) for sample in own])
    accuracy = multiclass_accuracy(predicted, target, num_classes=3, average="micro")
    assert scores["accuracy"]["value"] == pytest.approx(float(accuracy))


def scored_splits(bundle: Path, data: Path) -> set[tuple[str, int]]:
    return {(row["part"], row["images"]) for row in evaluate_bundle(bundle, data, device=CPU)}


def keep_images(data: Path, digests: set[str]) -> None:
    """Delete all images without one of these hashes, and their masks."""
    for image in (data / "images").rglob("*.png"):
        if hashlib.sha256(image.read_bytes()).hexdigest() not in digests:
            image.unlink()
            (data / "masks" / image.relative_to(data / "images")).unlink()


def redrawn(small_bundle: SmallBundle, out: Path) -> Path:
    """Copy the bundle's data with a black corner in every image, so that every file is new."""
    data = Path(shutil.copytree(small_bundle.leaves, out))
    for image in (data / "images").rglob("*.png"):
        pixels = np.array(Image.open(image))
        pixels[:3, :3] = 0
        Image.fromarray(pixels).save(image)
    return data


def keep_class(data: Path, label: str) -> Path:
    """Delete the images and masks of all other classes."""
    for folder in [*(data / "images").iterdir(), *(data / "masks").iterdir()]:
        if folder.name != label:
            shutil.rmtree(folder)
    return data


def score_one_class(bundle: Path, data: Path, out: Path) -> tuple[dict[str, dict[str, Any]], list[Prediction]]:
    """Return the rows of the evaluation by metric, and the predictions in key order."""
    found = {row["metric"]: row for row in rows("evaluate", bundle, data, "-o", out, "--device", "cpu")}
    return found, load_bundle(bundle, device="cpu").predict(sorted(data.glob("images/*/*.png")))


@pytest.mark.parametrize("label", CLASSES)
def test_the_scores_of_data_of_one_class_are_those_of_scikit_learn(
    small_bundle: SmallBundle, tmp_path: Path, label: str
) -> None:
    data = keep_class(redrawn(small_bundle, tmp_path / "data"), label)
    found, predictions = score_one_class(small_bundle.path, data, tmp_path / "out")
    assert {(row["part"], row["images"]) for row in found.values()} == {("new", 6)}
    actual, guess = np.array([label] * 6), np.array([prediction.label for prediction in predictions])
    # The same resamples of images as the bootstrap's.
    rng = np.random.default_rng(0)
    draws = [rng.integers(6, size=6) for _ in range(1000)]
    f1 = functools.partial(sk.f1_score, average="macro")
    hits = int((actual == guess).sum())
    share = binomtest(hits, 6).proportion_ci(method="wilson")
    low, high = np.percentile([f1(actual[draw], guess[draw]) for draw in draws], (2.5, 97.5))
    expected = {
        "accuracy": (hits / 6, *share),
        "macro_f1": (f1(actual, guess), *((low, high) if low < high else share)),
    }
    for name, score in expected.items():
        assert tuple(found[name][key] for key in ("value", "low", "high")) == pytest.approx(score, abs=1e-9)
    logloss = -np.mean([np.log(dict(prediction.top)[label]) for prediction in predictions])
    assert found["logloss"]["value"] == pytest.approx(logloss, abs=1e-6)
    assert {"iou", "dice", "accuracy_blanked"} <= set(found)


@pytest.mark.parametrize("label", CLASSES)
def test_the_tables_of_data_of_one_class_have_all_classes_of_the_bundle(
    small_bundle: SmallBundle, tmp_path: Path, label: str
) -> None:
    data, out = keep_class(redrawn(small_bundle, tmp_path / "data"), label), tmp_path / "out"
    (data / "groups.json").write_text(json.dumps(GROUPS))
    found, predictions = score_one_class(small_bundle.path, data, out)
    actual, guess = [label] * 6, [prediction.label for prediction in predictions]
    counts = [[int(row[name]) for name in CLASSES] for row in table(out / "confusion.csv")]
    np.testing.assert_array_equal(counts, sk.confusion_matrix(actual, guess, labels=CLASSES))
    expected = sk.precision_recall_fscore_support(actual, guess, labels=CLASSES, zero_division=0)
    for index, row in enumerate(table(out / "per_class.csv")):
        scores = [float(row[name]) for name in ("precision", "recall", "f1", "images")]
        assert scores == pytest.approx([column[index] for column in expected], abs=1e-6)
    same = np.mean([GROUPS[name] == GROUPS[label] for name in guess])
    assert found["group_accuracy"]["value"] == pytest.approx(same)


def test_one_image_of_a_csv_is_scored(small_bundle: SmallBundle, tmp_path: Path) -> None:
    data = redrawn(small_bundle, tmp_path / "data")
    (data / "manifest.csv").write_text("image,label\nimages/cultivar_01/leaf_000.png,cultivar_01\n")
    found = {row["metric"]: row for row in rows("evaluate", small_bundle.path, data / "manifest.csv")}
    (row,) = predict_paths(small_bundle.path, [data / "images/cultivar_01/leaf_000.png"], tmp_path / "out")
    right = float(row["label"] == "cultivar_01")
    assert [found[name]["value"] for name in ("accuracy", "macro_f1")] == [right, right]
    share = binomtest(int(right), 1).proportion_ci(method="wilson")
    assert tuple(found["accuracy"][key] for key in ("low", "high")) == pytest.approx(share)
    assert found["accuracy"]["images"] == 1


def test_training_images_are_never_scored_even_in_changed_data(
    small_bundle: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = read_record(small_bundle.path).images
    data = Path(shutil.copytree(small_bundle.leaves, tmp_path / "data"))
    used = json.loads((small_bundle.path / IMAGES).read_text())["train"]
    one = next(p for p in (data / "images").rglob("*.png") if hashlib.sha256(p.read_bytes()).hexdigest() in used)
    other = one.with_name("renamed.png")
    one.rename(other)
    (data / "masks" / one.relative_to(data / "images")).rename(data / "masks" / one.parent.name / other.name)
    new = next((redrawn(small_bundle, tmp_path / "redrawn") / "images").rglob("*.png"))
    shutil.copy(new, data / "images" / new.parent.name / "new.png")
    with caplog.at_level(logging.INFO):
        assert scored_splits(small_bundle.path, data) == {("test", images["test"]), ("new", 1)}
    assert f"left out {images['train'] + images['val']} images" in caplog.text


def test_every_new_image_is_scored_without_a_warning(
    small_bundle: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert scored_splits(small_bundle.path, redrawn(small_bundle, tmp_path / "data")) == {("new", 18)}
    assert "left out" not in caplog.text


def test_data_of_training_images_only_are_refused(small_bundle: SmallBundle, tmp_path: Path) -> None:
    data = Path(shutil.copytree(small_bundle.leaves, tmp_path / "data"))
    known = json.loads((small_bundle.path / IMAGES).read_text())
    keep_images(data, {*known["train"], *known["val"]})
    with pytest.raises(DataError, match="only images that the bundle was trained or selected on"):
        evaluate_bundle(small_bundle.path, data, device=CPU)


def test_data_without_masks_are_scored_by_label_alone(small_bundle: SmallBundle, tmp_path: Path) -> None:
    shutil.copytree(small_bundle.leaves / "images", tmp_path / "images")
    metrics = {row["metric"] for row in evaluate_bundle(small_bundle.path, tmp_path, device=CPU)}
    assert metrics >= {"accuracy", "macro_f1", "logloss"} and not metrics & {"iou", "dice", "accuracy_blanked"}


def test_an_unknown_class_is_refused(small_bundle: SmallBundle, tmp_path: Path) -> None:
    shutil.copytree(small_bundle.leaves / "images", tmp_path / "images")
    (tmp_path / "images" / "cultivar_01").rename(tmp_path / "images" / "oak")
    with pytest.raises(DataError, match="oak.*its classes are: cultivar_00, cultivar_01, cultivar_02"):
        evaluate_bundle(small_bundle.path, tmp_path, device=CPU)
