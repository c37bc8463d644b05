"""`venation evaluate` with its tables, groups and flips, and `predict --kept`, on the tiny bundle and its leaves."""

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics as sk
from small_bundle import BAD_DATA, EXPECTED_FAILURE, SmallBundle, refuse, rows, succeed

from venation.bundles.bundle import intact, read_record
from venation.bundles.predict import LoadedBundle, evaluate_bundle, predict_paths
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.models.build import build_network
from venation.models.network_config import PluginConfig

CPU = torch.device("cpu")
CLASSES = ["cultivar_00", "cultivar_01", "cultivar_02"]
GROUPS = {"cultivar_00": "smooth", "cultivar_01": "lobed", "cultivar_02": "smooth"}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_part_of(tiny: SmallBundle, out: Path, **options: bool) -> tuple[list[str], list[str]]:
    """Labels and predictions of the bundle's own test part."""
    split = read_record(tiny.path).split
    own = assign_splits(load_manifest(tiny.leaves), seed=split.seed, val=split.val, test=split.test).split("test")
    found = predict_paths(tiny.path, [sample.image for sample in own], out, **options)
    return [sample.label for sample in own], [row["label"] for row in found]


test_part_of.__test__ = False  # type: ignore[attr-defined]


def grouped(tiny: SmallBundle, folder: Path, groups: object = GROUPS) -> Path:
    data = Path(shutil.copytree(tiny.leaves, folder))
    (data / "groups.json").write_text(json.dumps(groups))
    return data


def test_tables_are_those_of_the_predictions(tiny: SmallBundle, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "tables"
    printed = rows("evaluate", tiny.path, tiny.leaves, "-o", out, "--device", "cpu")
    assert {path.name for path in out.iterdir()} == {
        *("scores.csv", "per_class.csv", "confusion.csv", "confusion.png"),
    }
    label, guess = test_part_of(tiny, tmp_path / "predicted")
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
    with Image.open(out / "confusion.png") as picture:
        assert picture.format == "PNG" and picture.width > 3 * 40


def test_the_final_scoring_has_every_metric(tiny: SmallBundle) -> None:
    found = {row["metric"] for row in evaluate_bundle(tiny.path, tiny.leaves, device=CPU)}
    assert found == {
        *("accuracy", "macro_f1", "logloss", "ece", "head_accuracy", "head_logloss", "accuracy_blanked"),
        *("iou", "iou_ref", "dice", "boundary_f", "bce", "iou_image", "dice_image"),
    }


def test_masks_are_scored_at_the_size_of_their_images(tiny: SmallBundle, tmp_path: Path) -> None:
    found = {row["metric"]: row for row in evaluate_bundle(tiny.path, tiny.leaves, device=CPU)}
    test_part_of(tiny, tmp_path)
    split = read_record(tiny.path).split
    own = assign_splits(load_manifest(tiny.leaves), seed=split.seed, val=split.val, test=split.test).split("test")
    both = said = drawn = 0
    for sample in own:
        assert sample.mask is not None
        predicted = np.asarray(Image.open(tmp_path / "masks" / f"{sample.image.stem}.png")) > 0
        actual = np.asarray(Image.open(sample.mask)) > 0
        assert predicted.shape == actual.shape
        both, said, drawn = both + (predicted & actual).sum(), said + predicted.sum(), drawn + actual.sum()
    iou, dice = found["iou_image"], found["dice_image"]
    assert iou["value"] == pytest.approx(both / (said + drawn - both))
    assert dice["value"] == pytest.approx(2 * both / (said + drawn))
    assert iou["low"] <= iou["value"] <= iou["high"] and iou["low"] < iou["high"]


def test_groups_of_the_data_are_scored(tiny: SmallBundle, tmp_path: Path) -> None:
    data = grouped(tiny, tmp_path / "data")
    found = {row["metric"]: row for row in rows("evaluate", tiny.path, data, "-o", tmp_path / "out")}
    label, guess = test_part_of(tiny, tmp_path / "predicted")
    smooth = [(true, said) for true, said in zip(label, guess, strict=True) if GROUPS[true] == "smooth"]
    right = sum(true == said for true, said in smooth)
    outer = sum(GROUPS[said] != "smooth" for _, said in smooth)
    assert found["fine_accuracy/smooth"]["value"] == pytest.approx(right / len(smooth))
    assert found["fine_accuracy/smooth"]["images"] == len(smooth)
    assert found["outer_errors/smooth"]["value"] == outer
    same = [GROUPS[true] == GROUPS[said] for true, said in zip(label, guess, strict=True)]
    assert found["group_accuracy"]["value"] == pytest.approx(np.mean(same))
    # Of a group of one class there is nothing finer to tell; the table has it all the same.
    assert "fine_accuracy/lobed" not in found
    by_name = {row["group"]: row for row in table(tmp_path / "out" / "groups.csv")}
    assert set(by_name) == {"smooth", "lobed"}
    assert [int(by_name["smooth"][name]) for name in ("classes", "images", "right", "outer_errors")] == [
        *(2, len(smooth), right, outer),
    ]


def test_a_given_map_goes_before_that_of_the_data(tiny: SmallBundle, tmp_path: Path) -> None:
    data = grouped(tiny, tmp_path / "data", groups={"not": "read"})
    own = tmp_path / "own.json"
    own.write_text(json.dumps(dict.fromkeys(CLASSES, "all")))
    found = {row["metric"]: row["value"] for row in rows("evaluate", tiny.path, data, "--groups", own)}
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
def test_a_map_that_does_not_fit_is_one_line(tiny: SmallBundle, tmp_path: Path, groups: object, says: str) -> None:
    data = grouped(tiny, tmp_path / "data", groups)
    refuse(BAD_DATA, "evaluate", tiny.path, data, says=("groups.json", says))


def test_a_map_or_a_folder_that_cannot_be_is_one_line(tiny: SmallBundle, tmp_path: Path) -> None:
    absent = tmp_path / "absent.json"
    refuse(BAD_DATA, "evaluate", tiny.path, tiny.leaves, "--groups", absent, says=("absent.json cannot be read",))
    (tmp_path / "out").write_text("mine")
    out = tmp_path / "out"
    refuse(EXPECTED_FAILURE, "evaluate", tiny.path, tiny.leaves, "-o", out, says=("choose another folder",))
    assert out.read_text() == "mine"


def test_flips_are_the_same_in_evaluation_and_prediction(tiny: SmallBundle, tmp_path: Path) -> None:
    assert read_record(tiny.path).config.data.hflip > 0
    plain = {row["metric"]: row["value"] for row in rows("evaluate", tiny.path, tiny.leaves)}
    flipped = {row["metric"]: row["value"] for row in rows("evaluate", tiny.path, tiny.leaves, "--flips")}
    assert plain.keys() == flipped.keys()
    assert flipped["logloss"] != plain["logloss"] and flipped["bce"] != plain["bce"]
    label, guess = test_part_of(tiny, tmp_path / "out", flips=True)
    assert flipped["accuracy"] == pytest.approx(
        np.mean([true == said for true, said in zip(label, guess, strict=True)])
    )
    single = predict_paths(tiny.path, [tiny.leaves / "images"], tmp_path / "single")
    mean = predict_paths(tiny.path, [tiny.leaves / "images"], tmp_path / "mean", flips=True)
    assert [row["probability"] for row in single] != [row["probability"] for row in mean]


def changed(tiny: SmallBundle, **config: object) -> LoadedBundle:
    """The bundle with another config, and a fresh network for it."""
    with intact(tiny.path) as (_, record):
        record = record.model_copy(update={"config": record.config.model_copy(update=config)})
    return LoadedBundle(record, build_network(record.config.network(3)).eval(), None)


def pretend(patch: pytest.MonkeyPatch, bundle: LoadedBundle) -> None:
    patch.setattr("venation.bundles.predict.load_parts", lambda folder, record: bundle)


def test_kept_positions_are_drawn_where_there_are_any(
    tiny: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = sorted((tiny.leaves / "images").rglob("*.png"))[0]
    succeed("predict", tiny.path, image, "-o", tmp_path / "bare", "--kept")
    assert not (tmp_path / "bare" / "kept").exists()
    assert caplog.text.count("no plug-in module") == 1
    pretend(monkeypatch, changed(tiny, plugin=PluginConfig(width=8, keep=(0.5, 0.5), joint=2)))
    succeed("predict", tiny.path, image, "-o", tmp_path / "out", "--kept", "--heatmap")
    with Image.open(image) as photo, Image.open(tmp_path / "out" / "kept" / f"{image.stem}.png") as drawn:
        assert drawn.size == (2 * photo.width + 4, photo.height)
    assert (tmp_path / "out" / "heatmaps" / f"{image.stem}.png").exists()
    assert caplog.text.count("no plug-in module") == 1
    # What was drawn is not read as input by the next run.
    shutil.copy(image, tmp_path / "out" / "leaf.png")
    (again,) = predict_paths(tiny.path, [tmp_path / "out"], tmp_path / "out", kept=True)
    assert Path(again["path"]).name == "leaf.png"


def test_flips_of_a_bundle_trained_without_any_are_remarked(
    tiny: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = Path(shutil.copytree(tiny.path, tmp_path / "copy"))
    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr("venation.bundles.predict.trained_flips", lambda config: ((),))
        evaluate_bundle(bundle, tiny.leaves, device=CPU, flips=True)
    assert caplog.text.count("trained without flips") == 1
