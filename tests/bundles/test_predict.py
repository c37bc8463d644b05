import csv
import hashlib
import io
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import SmallBundle, rows, succeed
from torchmetrics.functional.classification import multiclass_accuracy

from venation.bundles.bundle import IMAGES, WEIGHTS, intact, read_record
from venation.bundles.predict import LoadedBundle, PartlyRead, as_csv, evaluate_bundle, predict_paths
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.errors import DataError, UserError
from venation.models.build import build_network
from venation.trials.checkpoint import load_weights
from venation.trials.weights import read_weights

CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three unlabelled pictures of other shapes than the bundle's: wide, tall, and turned by its EXIF orientation."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, (width, height) in {"wide.png": (70, 30), "tall.jpg": (31, 90), "more/turned.jpg": (80, 50)}.items():
        exif = Image.Exif()
        if "turned" in name:
            exif[0x0112] = 6
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        picture.save(folder / name, exif=exif)
    return folder


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_masks_overlays_and_heatmaps_have_the_upright_size_of_their_image(
    tiny: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_paths(tiny.path, [photos], out, overlay=True, heatmap=True)
    sizes = {"wide": (70, 30), "tall": (31, 90), "turned": (50, 80)}
    for kind in ("masks", "overlays", "heatmaps"):
        pictures = {path.stem: read(path) for path in (out / kind).iterdir()}
        assert {name: pixels.shape[1::-1] for name, pixels in pictures.items()} == sizes
        if kind == "masks":
            assert all(mask.ndim == 2 and set(np.unique(mask)) <= {0, 255} for mask in pictures.values())


def test_rows_say_path_label_probability_and_share_of_the_mask(tiny: SmallBundle, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = predict_paths(tiny.path, [photos / "wide.png", photos / "more"], out)
    assert [Path(row["path"]).name for row in found] == ["wide.png", "turned.jpg"]
    for row in found:
        assert row["label"] in read_record(tiny.path).classes and 1 / 3 <= row["probability"] <= 1
        assert row["top"][0].startswith(row["label"])
        mask = read(out / "masks" / f"{Path(row['path']).stem}.png")
        assert row["mask_share"] == pytest.approx((mask > 0).mean(), abs=1e-4)
    assert not (out / "overlays").exists() and not (out / "heatmaps").exists()


def test_the_table_reads_back_as_csv_whatever_the_names_hold(tiny: SmallBundle, photos: Path, tmp_path: Path) -> None:
    odd = photos / 'a, "b" [red].png'
    shutil.copy(photos / "wide.png", odd)
    found = predict_paths(tiny.path, [odd], tmp_path / "out")
    text = (tmp_path / "out" / "predictions.csv").read_text()
    assert text == as_csv(found)
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["path"] == str(odd) and float(row["probability"]) == found[0]["probability"]
    assert row["top"].split("; ") == found[0]["top"]


def test_the_batch_size_changes_nothing(tiny: SmallBundle, tmp_path: Path) -> None:
    images = [tiny.leaves / "images"]
    by_one = predict_paths(tiny.path, images, tmp_path / "a", batch_size=1)
    by_seven = predict_paths(tiny.path, images, tmp_path / "b", batch_size=7)
    assert [row["label"] for row in by_one] == [row["label"] for row in by_seven]
    assert np.allclose([r["probability"] for r in by_one], [r["probability"] for r in by_seven], atol=1e-5)


def test_images_with_one_name_get_a_picture_each(tiny: SmallBundle, tmp_path: Path) -> None:
    predict_paths(tiny.path, [tiny.leaves / "images"], tmp_path / "out")
    # Every class has a leaf_000.
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 18


def test_text_forms_of_the_command(tiny: SmallBundle, photos: Path, tmp_path: Path) -> None:
    arguments = ("predict", tiny.path, photos, "-o", tmp_path / "out", "--device", "cpu")
    as_json = rows(*arguments)
    as_table = list(csv.DictReader(io.StringIO(succeed(*arguments, "--csv"))))
    assert [row["label"] for row in as_json] == [row["label"] for row in as_table]
    assert "label" in succeed(*arguments).splitlines()[0]


def test_on_its_own_data_only_the_sealed_part_counts(tiny: SmallBundle, tmp_path: Path) -> None:
    record = read_record(tiny.path)
    scores = {row["metric"]: row for row in evaluate_bundle(tiny.path, tiny.leaves, device=CPU)}
    assert {(row["part"], row["images"]) for row in scores.values()} == {("test", record.images["test"])}
    for metric, recorded in record.metrics["test"].items():
        assert scores[metric]["value"] == pytest.approx(recorded.value, abs=1e-6), metric
    # An independent count: the predictions of the test part against its labels.
    split = record.split
    own = assign_splits(load_manifest(tiny.leaves), seed=split.seed, val=split.val, test=split.test).split("test")
    known = json.loads((tiny.path / IMAGES).read_text())
    assert sorted(hashlib.sha256(sample.image.read_bytes()).hexdigest() for sample in own) == known["test"]
    found = predict_paths(tiny.path, [sample.image for sample in own], tmp_path / "out")
    predicted = torch.tensor([record.classes.index(row["label"]) for row in found])
    target = torch.tensor([record.classes.index(sample.label) for sample in own])
    accuracy = multiclass_accuracy(predicted, target, num_classes=3, average="micro")
    assert scores["accuracy"]["value"] == pytest.approx(float(accuracy))


def parts_scored(bundle: Path, data: Path) -> set[tuple[str, int]]:
    return {(row["part"], row["images"]) for row in evaluate_bundle(bundle, data, device=CPU)}


def keep(data: Path, digests: set[str]) -> None:
    """Delete all images but those with these hashes; the masks of the deleted go with them."""
    for image in (data / "images").rglob("*.png"):
        if hashlib.sha256(image.read_bytes()).hexdigest() not in digests:
            image.unlink()
            (data / "masks" / image.relative_to(data / "images")).unlink()


def redrawn(tiny: SmallBundle, out: Path) -> Path:
    """The bundle's data with one black corner in every image: the same leaves, no image the same."""
    data = Path(shutil.copytree(tiny.leaves, out))
    for image in (data / "images").rglob("*.png"):
        pixels = read(image).copy()
        pixels[:3, :3] = 0
        Image.fromarray(pixels).save(image)
    return data


def test_training_images_never_count_whatever_was_added_renamed_or_taken_out(
    tiny: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = read_record(tiny.path).images
    data = Path(shutil.copytree(tiny.leaves, tmp_path / "data"))
    used = json.loads((tiny.path / IMAGES).read_text())["train"]
    one = next(p for p in (data / "images").rglob("*.png") if hashlib.sha256(p.read_bytes()).hexdigest() in used)
    other = one.with_name("renamed.png")
    one.rename(other)
    (data / "masks" / one.relative_to(data / "images")).rename(data / "masks" / one.parent.name / other.name)
    new = next((redrawn(tiny, tmp_path / "redrawn") / "images").rglob("*.png"))
    shutil.copy(new, data / "images" / new.parent.name / "new.png")
    with caplog.at_level(logging.INFO):
        assert parts_scored(tiny.path, data) == {("test", images["test"]), ("new", 1)}
    assert f"left out {images['train'] + images['val']} images" in caplog.text


def test_on_new_images_every_one_counts_and_nothing_is_remarked(
    tiny: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert parts_scored(tiny.path, redrawn(tiny, tmp_path / "data")) == {("new", 18)}
    assert "left out" not in caplog.text


def test_nothing_but_training_images_is_refused(tiny: SmallBundle, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny.leaves, tmp_path / "data"))
    known = json.loads((tiny.path / IMAGES).read_text())
    keep(data, {*known["train"], *known["val"]})
    with pytest.raises(DataError, match="only images that the bundle was trained or chosen on"):
        evaluate_bundle(tiny.path, data, device=CPU)


def test_data_without_masks_are_scored_by_label_alone(tiny: SmallBundle, tmp_path: Path) -> None:
    shutil.copytree(tiny.leaves / "images", tmp_path / "images")
    metrics = {row["metric"] for row in evaluate_bundle(tiny.path, tmp_path, device=CPU)}
    assert metrics >= {"accuracy", "macro_f1", "logloss"} and not metrics & {"iou", "dice", "accuracy_blanked"}


def test_a_class_that_the_bundle_does_not_know_is_refused(tiny: SmallBundle, tmp_path: Path) -> None:
    shutil.copytree(tiny.leaves / "images", tmp_path / "images")
    (tmp_path / "images" / "cultivar_01").rename(tmp_path / "images" / "oak")
    with pytest.raises(DataError, match="oak.*its classes are: cultivar_00, cultivar_01, cultivar_02"):
        evaluate_bundle(tiny.path, tmp_path, device=CPU)


def test_an_image_that_cannot_be_read_is_named(tiny: SmallBundle, photos: Path, tmp_path: Path) -> None:
    whole = (photos / "tall.jpg").read_bytes()
    (photos / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half\.jpg"):
        predict_paths(tiny.path, [photos / "half.jpg"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read_does_not_cost_the_others(tiny: SmallBundle, photos: Path, tmp_path: Path) -> None:
    for name in ("bad.png", "worse.png"):
        (photos / name).write_bytes(b"garbage")
    with pytest.raises(PartlyRead, match=r"2 of 5 images were not predicted: .*bad\.png.*worse\.png") as caught:
        predict_paths(tiny.path, [photos], tmp_path / "out", batch_size=2)
    assert "\n" not in str(caught.value)
    alone = predict_paths(
        tiny.path, [photos / name for name in ("more/turned.jpg", "tall.jpg", "wide.png")], tmp_path / "good"
    )
    for row, expected in zip(caught.value.rows, alone, strict=True):
        assert (row["path"], row["label"]) == (expected["path"], expected["label"])
        assert row["probability"] == pytest.approx(expected["probability"], abs=1e-5)
    assert (tmp_path / "out" / "predictions.csv").read_text() == as_csv(caught.value.rows)
    for mask in (tmp_path / "good" / "masks").iterdir():
        assert (read(tmp_path / "out" / "masks" / mask.name) == read(mask)).mean() > 0.99
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3


@pytest.mark.parametrize("place", ["inside", "the folder itself", "the folder's parent"])
def test_a_second_run_does_not_read_what_the_first_wrote(tiny: SmallBundle, photos: Path, place: str) -> None:
    out = {"inside": photos / "more" / "out", "the folder itself": photos, "the folder's parent": photos.parent}[place]
    first = predict_paths(tiny.path, [photos], out, overlay=True)
    assert len(first) == 3
    assert predict_paths(tiny.path, [photos], out, overlay=True) == first
    # A folder that is named outright is read.
    assert len(predict_paths(tiny.path, [out / "masks"], photos.parent / "elsewhere")) == 3
    assert len(predict_paths(tiny.path, [out / "masks"], out)) == 3


def test_overlays_without_a_decoder_are_remarked_once(
    tiny: SmallBundle, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with intact(tiny.path) as (folder, record):
        config = record.config.model_copy(update={"decoder": record.config.decoder.model_copy(update={"kind": "none"})})
        network = build_network(config.bare().network(3))
        weights = {name: w for name, w in read_weights(folder / WEIGHTS).items() if not name.startswith("decoder.")}
        load_weights(network, weights, source=WEIGHTS)
    bare = LoadedBundle(record, network.eval(), None)
    monkeypatch.setattr("venation.bundles.predict.load_parts", lambda folder, record: bare)
    found = predict_paths(tiny.path, [photos], tmp_path / "out", overlay=True)
    assert [row["mask_share"] for row in found] == [None] * 3
    assert caplog.text.count("no decoder") == 1 and not (tmp_path / "out" / "overlays").exists()


def test_an_output_that_is_a_file_is_refused(tiny: SmallBundle, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="choose another folder"):
        predict_paths(tiny.path, [photos], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_predicting_needs_neither_database_nor_search() -> None:
    code = "import sys; import venation.bundles.predict; print({'optuna', 'sqlalchemy', 'typer'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
