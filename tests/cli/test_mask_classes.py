"""A data set with two mask classes from check to bundle, and what its commands refuse."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import BAD_DATA, CLASSIFIER, EXPECTED_FAILURE, MISUSE, SmallBundle, refuse, rows, succeed
from torchmetrics.functional.classification import multiclass_jaccard_index

from venation.api.bundle import load_bundle
from venation.data.images import read_mask
from venation.data.manifest import load_manifest

TABLE = "value,name,colour\n1,vein,#ff0000\n2,lesion,#0000ff\n"
NAMES = ("vein", "lesion")
CLASSES = 2
PER_CLASS = 10
SIZE = 32
DECODER = ("decoder.kind=unet", "decoder.channels=8", "decoder.detail=6", "decoder.full_size=true", "data.fit=squash")
RECIPE = ("train.epochs=12", "train.lr=0.02", "train.dice_weight=1", "train.batch_size=4")


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def write_set(root: Path, *, seed: int = 0, count: int = PER_CLASS) -> Path:
    """Write dark images with a reddish vein across and a bluish lesion, and their label masks."""
    random = np.random.default_rng(seed)
    for label in "ab":
        for number in range(count):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            top, left = random.integers(4, SIZE - 14, 2)
            mask[top : top + 4] = 1
            mask[top + 5 : top + 13, left : left + 10] = 2
            pixels = random.integers(0, 60, (SIZE, SIZE, 3))
            pixels[mask == 1, 0] += 150
            pixels[mask == 2, 2] += 150
            pixels[..., 1] += 60 * (label == "b")
            for kind, array in (("images", pixels.astype(np.uint8)), ("masks", mask)):
                (root / kind / label).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / kind / label / f"{seed}_{number}.png")
    (root / "mask_classes.csv").write_text(TABLE)
    return root


@pytest.fixture(scope="module")
def bundle(_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    data = write_set(root / "data")
    succeed("study", "create", "two", "--kind", "classifier", "--data", data, "--trials", 1, *CLASSIFIER)
    decoder = settings(*DECODER, *RECIPE)
    succeed("study", "create", "two-masks", "--kind", "decoder", "--base", "two", "--trials", 1, *decoder)
    succeed("worker", "two", "two-masks", "--until-idle", "--device", "cpu")
    succeed("bundle", "export", "two-masks", "-o", root / "two.bundle", "--device", "cpu")
    return root / "two.bundle"


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("new") / "data", seed=1, count=4)


def test_it_learns_both_classes_and_scores_them(bundle: Path, new: Path) -> None:
    found = {row["metric"]: row["value"] for row in rows("evaluate", bundle, new, "--device", "cpu")}
    assert found["iou/vein"] > 0.5 and found["iou/lesion"] > 0.5
    assert found["iou"] == pytest.approx((found["iou/vein"] + found["iou/lesion"]) / 2)
    assert "iou_ref" not in found and found["bce"] > 0
    manifest = load_manifest(new)
    loaded = load_bundle(bundle, device="cpu")
    assert loaded.mask_classes == NAMES
    predicted = [prediction.mask for prediction in loaded.predict([sample.image for sample in manifest.samples])]
    actual = [read_mask(sample.mask, None, sample.mask_classes) for sample in manifest.samples if sample.mask]
    pair = (torch.from_numpy(np.stack(masks).astype(np.int64)) for masks in (predicted, actual))
    wanted = multiclass_jaccard_index(*pair, num_classes=3, average="none")[1:]
    assert found["iou_image"] == pytest.approx(float(wanted.mean()), rel=1e-5)


def test_predictions_are_label_pictures_with_shares_and_a_legend(bundle: Path, new: Path, tmp_path: Path) -> None:
    succeed("predict", bundle, new / "images", "-o", tmp_path, "--overlay", "--device", "cpu")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        with Image.open(tmp_path / row["mask"]) as picture, Image.open(tmp_path / row["overlay"]) as overlay:
            values = np.asarray(picture)
            assert picture.mode == "P" and overlay.width % SIZE == 0 and overlay.height > overlay.width
        assert values.shape == (SIZE, SIZE) and set(np.unique(values)) <= {0, 1, 2}
        assert float(row["share/vein"]) == pytest.approx((values == 1).mean(), abs=1e-4)
        assert float(row["share/lesion"]) == pytest.approx((values == 2).mean(), abs=1e-4)
        assert float(row["mask_share"]) == pytest.approx((values > 0).mean(), abs=1e-4)
    card = (bundle / "README.md").read_text()
    assert "IoU of vein" in card and "IoU of lesion" in card and "segments vein, lesion" in card
    record = json.loads((bundle / "bundle.json").read_text())
    assert record["config"]["decoder"]["classes"] == list(NAMES)
    assert succeed("bundle", "check", bundle)


def test_predicted_masks_are_a_data_set_of_the_same_classes(bundle: Path, new: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "images").parent.mkdir()
    (bare / "images").symlink_to(new / "images")
    succeed("data", "masks", bundle, bare, "-o", tmp_path / "copy", "--device", "cpu")
    made = load_manifest(tmp_path / "copy")
    assert made.mask_class_names == NAMES
    for prediction, sample in zip(
        load_bundle(bundle, device="cpu").predict([sample.image for sample in made.samples]), made.samples, strict=True
    ):
        assert sample.mask is not None
        np.testing.assert_array_equal(read_mask(sample.mask, None, sample.mask_classes), prediction.mask)
    assert "absent" not in succeed("data", "check", tmp_path / "copy")


def test_other_mask_classes_are_one_line(bundle: Path, new: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", seed=2, count=3)
    (other / "mask_classes.csv").write_text(TABLE.replace("lesion", "blade"))
    refuse(BAD_DATA, "evaluate", bundle, other, says=("mask classes that the bundle does not have (blade)",))
    (other / "mask_classes.csv").unlink()
    refuse(BAD_DATA, "evaluate", bundle, other, says=("tells vein, lesion apart", "mask_classes.csv"))


def test_a_decoder_study_refuses_what_its_data_cannot_teach(bundle: Path, tmp_path: Path) -> None:
    say = ("study", "create", "other-masks", "--kind", "decoder", "--base", "two", "--trials", 1)
    refuse(MISUSE, *say, "--set", "decoder.classes=a,b", says=("`decoder.classes` follows the data",))
    refuse(MISUSE, *say, "--objective", "iou_ref", says=("figure of one structure", "vein, lesion: take iou"))
    data = write_set(tmp_path / "data", count=4)
    (data / "mask_classes.csv").write_text(TABLE + "3,blade,#00ff00\n")
    succeed("study", "create", "three", "--kind", "classifier", "--data", data, "--trials", 1, *CLASSIFIER)
    line = refuse(EXPECTED_FAILURE, *say[:2], "three-masks", *say[3:6], "three", *settings(*DECODER), says=("`blade`",))
    assert "no mask in the train split" in line


def test_a_bundle_without_mask_classes_draws_one_structure(small_bundle: SmallBundle, new: Path) -> None:
    loaded = load_bundle(small_bundle.path, device="cpu")
    assert loaded.mask_classes == ()
    (prediction,) = loaded.predict(sorted((new / "images" / "a").glob("*.png"))[0])
    assert set(np.unique(prediction.mask)) <= {0, 255} and prediction.mask_classes == ()
