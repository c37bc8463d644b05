"""Predictions of a bundle: tables, masks, pictures, and images that cannot be decoded."""

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import SmallBundle, json_lines, succeed, tree
from typer.testing import CliRunner

from venation.api.bundle import load_bundle
from venation.bundles.bundle import open_verified, read_record
from venation.bundles.load_network import LoadedBundle
from venation.bundles.predict import PartlyRead, PredictOptions, predict_paths, predict_rows
from venation.bundles.prediction_table import as_csv
from venation.bundles.record import WEIGHTS
from venation.cli import app
from venation.errors import DataError, UserError
from venation.models.build import build_network
from venation.models.network_config import PluginConfig
from venation.trials.checkpoint import load_weights, read_weights

CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three unlabelled images: wide, tall, and rotated by EXIF."""
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


def test_masks_have_the_upright_size_of_their_image_and_figures_are_enlarged(
    small_bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_paths(small_bundle.path, [photos], out, overlay=True, heatmap=True)
    sizes = {"wide": (70, 30), "tall": (31, 90), "turned": (50, 80)}
    for kind in ("masks", "overlays", "heatmaps"):
        pictures = {path.stem: read(path) for path in (out / kind).iterdir()}
        if kind != "masks":
            for name, (width, height) in sizes.items():
                zoom = pictures[name].shape[1] / width
                # A strip below the picture has the caption and the legend.
                assert zoom == round(800 / max(width, height)) and pictures[name].shape[0] > height * zoom
        else:
            assert {name: pixels.shape[1::-1] for name, pixels in pictures.items()} == sizes
            assert all(mask.ndim == 2 and set(np.unique(mask)) <= {0, 255} for mask in pictures.values())


def test_rows_have_path_label_probability_and_mask_share(
    small_bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = predict_paths(small_bundle.path, [photos / "wide.png", photos / "more"], out)
    assert [Path(row["path"]).name for row in found] == ["wide.png", "turned.jpg"]
    for row in found:
        assert row["label"] in read_record(small_bundle.path).classes and 1 / 3 <= row["probability"] <= 1
        assert row["top"][0].startswith(row["label"])
        mask = read(out / "masks" / f"{Path(row['path']).stem}.png")
        assert row["mask_share"] == pytest.approx((mask > 0).mean(), abs=1e-4)
    assert not (out / "overlays").exists() and not (out / "heatmaps").exists()


def test_a_whole_data_set_has_a_row_for_each_photo_and_none_for_a_mask(
    small_bundle: SmallBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = sorted((small_bundle.leaves / "images").rglob("*.png"))
    assert len(photos) == len(sorted((small_bundle.leaves / "masks").rglob("*.png"))) == 18
    found = CliRunner().invoke(app, ["predict", str(small_bundle.path), str(small_bundle.leaves), "-o", str(tmp_path)])
    assert found.exit_code == 0, found.output
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{small_bundle.leaves}: left out 18 masks of the data set")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    alone = predict_paths(small_bundle.path, [small_bundle.leaves / "images"], tmp_path / "alone")
    assert [row["path"] for row in rows] == [str(path) for path in photos]
    assert [row["label"] for row in rows] == [row["label"] for row in alone]


def test_every_class_has_a_column_with_its_probability(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    found = predict_paths(small_bundle.path, [photos], tmp_path / "out")
    classes = read_record(small_bundle.path).classes
    for row in found:
        shares = [row[f"probability/{name}"] for name in classes]
        assert sum(shares) == pytest.approx(1, abs=1e-5) and max(shares) == row["probability"]
        assert classes[int(np.argmax(shares))] == row["label"]
    bare = load_bundle(small_bundle.path).predict(photos)
    assert [each.probabilities[name] for each in bare for name in classes] == pytest.approx(
        [row[f"probability/{name}"] for row in found for name in classes], abs=1e-5
    )


def test_a_stopped_run_is_resumed_and_no_row_comes_twice(
    small_bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    whole = predict_paths(small_bundle.path, [photos], tmp_path / "whole", batch_size=1)
    rows = predict_rows(small_bundle.path, [photos], tmp_path / "out", PredictOptions(batch_size=1))
    first = next(rows)
    rows.close()
    left = predict_paths(small_bundle.path, [photos], tmp_path / "out", batch_size=1, resume=True)
    assert [first, *left] == whole
    assert predict_paths(small_bundle.path, [photos], tmp_path / "out", resume=True) == []
    for name in tree(tmp_path / "whole"):
        if (tmp_path / "whole" / name).is_file():
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    with pytest.raises(UserError, match="predict without --resume"):
        predict_paths(small_bundle.path, [photos], tmp_path / "out", resume=True, overlay=True)


def test_paths_come_from_standard_input_and_patterns(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    arguments = [str(each) for each in ("predict", small_bundle.path, "-", "-o", tmp_path / "out", "--json")]
    names = [photos / "wide.png", photos / "more"]
    for content in ("\r\n".join(map(str, [*names, ""])), "\0".join(map(str, names))):
        found = CliRunner().invoke(app, arguments, input=content)
        assert found.exit_code == 0, found.output
        assert [Path(row["path"]).name for row in json_lines(found.stdout)] == ["wide.png", "turned.jpg"]
    empty = CliRunner().invoke(app, arguments, input="\n")
    assert empty.exit_code == 2 and "one a line, and it has none" in empty.stderr
    by_pattern = predict_paths(small_bundle.path, [photos / "**" / "*.jpg"], tmp_path / "out")
    assert [Path(row["path"]).name for row in by_pattern] == ["turned.jpg", "tall.jpg"]


def test_the_csv_is_read_back_with_special_characters_in_names(
    small_bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    odd = photos / 'a, "b" [red].png'
    shutil.copy(photos / "wide.png", odd)
    found = predict_paths(small_bundle.path, [odd], tmp_path / "out")
    text = (tmp_path / "out" / "predictions.csv").read_text()
    assert text == as_csv(found)
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["path"] == str(odd) and float(row["probability"]) == found[0]["probability"]
    assert row["top"].split("; ") == found[0]["top"]


def test_the_batch_size_changes_nothing(small_bundle: SmallBundle, tmp_path: Path) -> None:
    images = [small_bundle.leaves / "images"]
    by_one = predict_paths(small_bundle.path, images, tmp_path / "a", batch_size=1)
    by_seven = predict_paths(small_bundle.path, images, tmp_path / "b", batch_size=7)
    assert [row["label"] for row in by_one] == [row["label"] for row in by_seven]
    assert np.allclose([r["probability"] for r in by_one], [r["probability"] for r in by_seven], atol=1e-5)


def test_images_with_the_same_name_have_separate_pictures(small_bundle: SmallBundle, tmp_path: Path) -> None:
    predict_paths(small_bundle.path, [small_bundle.leaves / "images"], tmp_path / "out")
    # Every class has a leaf_000.
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 18


def test_the_table_names_the_pictures_of_each_image(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "wide.png", photos / "tall.png")
    out = tmp_path / "out"
    predict_paths(small_bundle.path, [photos], out, overlay=True, heatmap=True)
    with (out / "predictions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["mask"] for row in table] == [
        f"masks/{name}.png" for name in ("turned", "tall_jpg", "tall_png", "wide")
    ]
    assert {row[column] for row in table for column in ("mask", "overlay", "heatmap")} == {
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.suffix in (".png", ".jpg")
    }
    for row in table:
        with Image.open(row["path"]) as image, Image.open(out / row["mask"]) as mask:
            assert sorted(mask.size) == sorted(image.size)
            share = (np.asarray(mask) > 0).mean()
        assert float(row["mask_share"]) == pytest.approx(share, abs=1e-4)
    assert "kept" not in table[0]


def test_the_command_prints_text_json_and_csv(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    arguments = ("predict", small_bundle.path, photos, "-o", tmp_path / "out", "--device", "cpu")
    as_json = json_lines(succeed(*arguments, "--json"))
    as_table = list(csv.DictReader(io.StringIO(succeed(*arguments, "--csv"))))
    assert [row["label"] for row in as_json] == [row["label"] for row in as_table]
    assert [row["mask"] for row in as_json] == [row["mask"] for row in as_table]
    assert all(row["mask"].startswith("masks/") for row in as_json)
    long = tmp_path / ("long-" * 40)
    photos.rename(long)
    header, *lines = succeed("predict", small_bundle.path, long, *arguments[3:]).splitlines()
    # The names of files are left to the tables: a terminal has no room for them.
    assert "label" in header and len(lines) == 3 and not any("masks/" in line for line in lines)


def test_an_unreadable_image_is_named(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    whole = (photos / "tall.jpg").read_bytes()
    (photos / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half\.jpg"):
        predict_paths(small_bundle.path, [photos / "half.jpg"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unreadable_image_does_not_stop_the_others(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    for name in ("bad.png", "worse.png"):
        (photos / name).write_bytes(b"garbage")
    with pytest.raises(PartlyRead, match=r"2 of 5 images were not predicted: .*bad\.png.*worse\.png") as caught:
        predict_paths(small_bundle.path, [photos], tmp_path / "out", batch_size=2)
    assert "\n" not in str(caught.value) and str(tmp_path / "out" / "failed.csv") in str(caught.value)
    alone = predict_paths(
        small_bundle.path, [photos / name for name in ("more/turned.jpg", "tall.jpg", "wide.png")], tmp_path / "good"
    )
    for row, expected in zip(caught.value.rows, alone, strict=True):
        assert (row["path"], row["label"]) == (expected["path"], expected["label"])
        assert row["probability"] == pytest.approx(expected["probability"], abs=1e-5)
    assert (tmp_path / "out" / "predictions.csv").read_text() == as_csv(caught.value.rows)
    for mask in (tmp_path / "good" / "masks").iterdir():
        assert (read(tmp_path / "out" / "masks" / mask.name) == read(mask)).mean() > 0.99
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3


def test_every_unreadable_image_is_in_a_table_until_a_run_reads_them_all(
    small_bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    broken = [photos / f"bad{index}.jpg" for index in range(1, 6)]
    for path in broken:
        path.write_bytes(b"garbage")
    out = tmp_path / "out"
    for given, total in (([photos], 8), (broken, 5)):
        with pytest.raises(PartlyRead, match=rf"^5 of {total} images .*bad3\.jpg.*; \.\.\. .*failed\.csv") as caught:
            predict_paths(small_bundle.path, given, out)
        assert "bad4.jpg" not in str(caught.value)
        with (out / "failed.csv").open(newline="") as file:
            failed = list(csv.DictReader(file))
        assert [row["path"] for row in failed] == [str(path) for path in broken]
        assert all(row["path"] in row["reason"] and "cannot be decoded" in row["reason"] for row in failed)
        # The second run predicts nothing, and leaves nothing of the first.
        assert (out / "predictions.csv").exists() == (total == 8)
    assert not list(out.rglob("*.png"))
    for path in broken:
        path.unlink()
    assert len(predict_paths(small_bundle.path, [photos], out)) == 3
    assert not (out / "failed.csv").exists()


def test_a_second_run_replaces_the_files_of_the_first(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_paths(small_bundle.path, [photos / "wide.png", photos / "tall.jpg"], out, overlay=True)
    for mine in ("masks/mine.png", "notes.txt"):
        (out / mine).write_bytes(b"mine")
    predict_paths(small_bundle.path, [photos / "more"], out)
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {"predictions.csv", "predictions.run.json", "masks/turned.png", "masks/mine.png", "notes.txt"}


def test_a_run_that_is_refused_leaves_the_files_of_the_first(
    small_bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_paths(small_bundle.path, [photos], out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (tmp_path / "bad.png").write_bytes(b"garbage")
    with pytest.raises(DataError, match="cannot be decoded"):
        predict_paths(small_bundle.path, [tmp_path / "bad.png"], out)
    with pytest.raises(UserError):
        predict_paths(tmp_path / "no.bundle", [photos], out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("place", ["inside", "the folder itself", "the folder's parent"])
def test_a_second_run_does_not_read_the_output_of_the_first(
    small_bundle: SmallBundle, photos: Path, place: str
) -> None:
    out = {"inside": photos / "more" / "out", "the folder itself": photos, "the folder's parent": photos.parent}[place]
    first = predict_paths(small_bundle.path, [photos], out, overlay=True)
    assert len(first) == 3
    assert predict_paths(small_bundle.path, [photos], out, overlay=True) == first
    # A folder that is named outright is read.
    assert len(predict_paths(small_bundle.path, [out / "masks"], photos.parent / "elsewhere")) == 3
    assert len(predict_paths(small_bundle.path, [out / "masks"], out)) == 3


def test_overlays_without_a_decoder_log_one_warning(
    small_bundle: SmallBundle,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_verified(small_bundle.path) as (folder, record):
        config = record.config.model_copy(update={"decoder": record.config.decoder.model_copy(update={"kind": "none"})})
        network = build_network(config.with_random_encoder().network(3))
        weights = {name: w for name, w in read_weights(folder / WEIGHTS).items() if not name.startswith("decoder.")}
        load_weights(network, weights, source=WEIGHTS)
    bare = LoadedBundle(record, network.eval(), None)
    monkeypatch.setattr("venation.bundles.load_network.load_parts", lambda folder, record: bare)
    found = predict_paths(small_bundle.path, [photos], tmp_path / "out", overlay=True, runner="torch")
    assert [row["mask_share"] for row in found] == [None] * 3
    assert caplog.text.count("no decoder") == 1 and not (tmp_path / "out" / "overlays").exists()


def test_an_output_that_is_a_file_is_refused(small_bundle: SmallBundle, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="choose another folder"):
        predict_paths(small_bundle.path, [photos], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_predicting_needs_neither_database_nor_search() -> None:
    code = "import sys; import venation.bundles.predict; print({'optuna', 'sqlalchemy', 'typer'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def changed(small_bundle: SmallBundle, **config: object) -> LoadedBundle:
    """Return the bundle with another config and a new network for it."""
    with open_verified(small_bundle.path) as (_, record):
        record = record.model_copy(update={"config": record.config.model_copy(update=config)})
    return LoadedBundle(record, build_network(record.config.network(3)).eval(), None)


def use_bundle(patch: pytest.MonkeyPatch, bundle: LoadedBundle) -> None:
    patch.setattr("venation.bundles.load_network.load_parts", lambda folder, record: bundle)


def test_selected_positions_are_drawn_for_a_network_that_selects(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = sorted((small_bundle.leaves / "images").rglob("*.png"))[0]
    succeed("predict", small_bundle.path, image, "-o", tmp_path / "bare", "--kept")
    assert not (tmp_path / "bare" / "kept").exists()
    assert caplog.text.count("no plug-in module") == 1
    use_bundle(monkeypatch, changed(small_bundle, plugin=PluginConfig(width=8, keep=(0.5, 0.5), joint=2)))
    succeed("predict", small_bundle.path, image, "-o", tmp_path / "out", "--kept", "--heatmap")
    with Image.open(image) as photo, Image.open(tmp_path / "out" / "kept" / f"{image.stem}.png") as drawn:
        assert drawn.size == (2 * photo.width + 4, photo.height)
    assert (tmp_path / "out" / "heatmaps" / f"{image.stem}.jpg").exists()
    assert caplog.text.count("no plug-in module") == 1
    # The next run does not read these drawings as input.
    shutil.copy(image, tmp_path / "out" / "leaf.png")
    (again,) = predict_paths(small_bundle.path, [tmp_path / "out"], tmp_path / "out", kept=True)
    assert Path(again["path"]).name == "leaf.png"
