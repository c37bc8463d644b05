"""Files that a prediction writes: names of pictures, tables, and the files of an earlier run."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.bundles.prediction_files import PredictionFolder, Run
from venation.data.data_config import DataConfig
from venation.errors import DataError, UsageError
from venation.trials.prediction import Prediction

HEADER = "path,label,probability,mask_share,top,mask"


def prediction(path: Path) -> Prediction:
    return Prediction(path, "oak", 0.75, [("oak", 0.75), ("ash", 0.25)], np.zeros((4, 5), np.uint8), None)


def write(out: Path, images: list[Path]) -> None:
    folder = PredictionFolder(out, images, DataConfig(), Run(("mask",)))
    for image in images:
        folder.add(prediction(image), image)
    folder.close()


def test_overlays_of_many_channels_show_the_first_three(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (12, 9, 5), dtype=np.uint8)
    image, mask = tmp_path / "a.npy", np.zeros((12, 9), np.uint8)
    np.save(image, bands)
    mask[4:9, 2:7] = 255
    folder = PredictionFolder(tmp_path / "out", [image], DataConfig(channels=5), Run(("mask", "overlay")))
    folder.add(replace(prediction(image), mask=mask), image)
    folder.close()
    drawn = np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.jpg")).astype(int)
    low, high = np.percentile(bands[..., :3], (2, 98), axis=(0, 1))
    wanted = np.rint(np.clip((bands[..., :3] - low) / (high - low), 0, 1) * 255)
    # Every pixel became 67 x 67; its middle keeps its colour, but for the rounding of JPEG.
    middles = drawn[33 : 12 * 67 : 67, 33::67]
    np.testing.assert_allclose(middles, wanted, atol=6)
    # The contour is around the mask.
    np.testing.assert_allclose(drawn[4 * 67 - 1, 2 * 67 + 9 : 7 * 67 - 9 : 20], [(0, 229, 255)] * 16, atol=40)


def test_long_names_and_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    images = [tmp_path / ("ü" * 120 + ".png"), tmp_path / os.fsdecode(b"\xe9" * 60 + b".png"), tmp_path / "a\\b.png"]
    write(tmp_path / "out", images)
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        masks = [row["mask"] for row in csv.DictReader(file)]
    assert len(set(masks)) == 3 and masks[2] == "masks/a_b.png"
    assert all((tmp_path / "out" / mask).is_file() for mask in masks)


def test_only_pictures_that_a_table_of_predictions_lists_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = [tmp_path / "up.png", out / "note.png", out / "masks" / "deep" / "b.png", out / "masks" / "c.txt"]
    for path in [*kept, out / "masks" / "a.png"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    listed = ["masks/a.png", "../up.png", "masks/../note.png", "note.png", str(kept[0]), "masks/deep/b.png"]
    listed += ["masks/c.txt", "masks/deep", "masks", "..", "", "masks/missing.png"]
    (out / "predictions.csv").write_text("\n".join([HEADER, *(f"p,oak,1,0,oak,{name}" for name in listed)]))
    write(out, [tmp_path / "new.png"])
    assert not (out / "masks" / "a.png").exists() and (out / "masks" / "new.png").is_file()
    assert all(path.read_bytes() == b"mine" for path in kept)


@pytest.mark.parametrize("table", [b"name,mask\nx,masks/a.png\n", b"", b"\xff\xfe\x00", b'"' + b"x" * 200_000])
def test_a_table_that_is_not_one_of_predictions_removes_nothing(tmp_path: Path, table: bytes) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(b"mine")
    for name in ("predictions.csv", "failed.csv"):
        (tmp_path / name).write_bytes(table)
    write(tmp_path, [tmp_path / "new.jpg"])
    assert (tmp_path / "masks" / "a.png").read_bytes() == b"mine"
    assert (tmp_path / "failed.csv").read_bytes() == table


def test_an_image_that_an_earlier_run_wrote_is_not_removed_when_it_is_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, [tmp_path / "a.png", tmp_path / "b.png"])
    write(out, [out / "masks" / ".." / "masks" / "a.png"])
    assert [path.name for path in (out / "masks").iterdir()] == ["a.png"]
    with Image.open(out / "masks" / "a.png") as mask:
        assert mask.size == (5, 4)


def test_tables_of_an_interrupted_run_let_the_next_one_remove_its_files(tmp_path: Path) -> None:
    out, images = tmp_path / "out", [tmp_path / f"{index}.png" for index in range(3)]
    folder = PredictionFolder(out, images, DataConfig(), Run(("mask", "heatmap")))
    row = folder.add(prediction(images[0]), images[0])
    folder.add_failure(images[1], DataError("1.png cannot be decoded"))
    folder.close()
    assert row["mask"] == "masks/0.png" and row["heatmap"] is None
    assert (out / "failed.csv").read_text() == f"path,reason\n{images[1]},1.png cannot be decoded\n"
    write(out, images[2:])
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "2.png",
        "predictions.csv",
        "predictions.run.json",
    }


def paths_of(out: Path) -> list[str]:
    with (out / "predictions.csv").open(newline="") as file:
        return [Path(row["path"]).name for row in csv.DictReader(file)]


def test_a_resumed_run_keeps_the_rows_and_the_pictures_of_the_first(tmp_path: Path) -> None:
    """In place of 1.png the first run had another image of that name, whose mask must stay."""
    out, images = tmp_path / "out", [tmp_path / f"{index}.png" for index in range(4)]
    elsewhere = tmp_path / "more" / "1.png"
    write(out, [images[0], elsewhere])
    mine = (out / "masks" / "1.png").read_bytes()
    # The line that a killed process was writing.
    with (out / "predictions.csv").open("a") as table:
        table.write(f"{images[2]},oak,0.7")
    folder = PredictionFolder(out, images, DataConfig(), Run(("mask",)), resume=True)
    assert folder.kept == 2 and folder.images == images[1:]
    for image in folder.images[:-1]:
        folder.add(replace(prediction(image), mask=np.full((4, 5), 255, np.uint8)), image)
    folder.add_failure(images[3], DataError("3.png cannot be decoded"))
    folder.close()
    assert paths_of(out) == ["0.png", "1.png", "1.png", "2.png"]
    assert (out / "masks" / "1.png").read_bytes() == mine and len(list((out / "masks").iterdir())) == 4
    assert (out / "failed.csv").exists()
    # The image is whole now: the third run predicts it alone.
    again = PredictionFolder(out, images, DataConfig(), Run(("mask",)), resume=True)
    assert again.images == images[3:]
    again.add(prediction(images[3]), images[3])
    again.close()
    assert paths_of(out)[-1] == "3.png" and not (out / "failed.csv").exists()


def test_an_image_that_is_given_twice_is_resumed_as_often_as_it_has_no_row(tmp_path: Path) -> None:
    image, odd = tmp_path / "a.png", tmp_path / "=b\n.png"
    write(tmp_path / "out", [image, odd])
    folder = PredictionFolder(tmp_path / "out", [image, odd, image], DataConfig(), Run(("mask",)), resume=True)
    assert folder.images == [image]


@pytest.mark.parametrize("run", [Run(("mask",), threshold=0.5), Run(("mask", "overlay")), Run(("mask",), bundle="b")])
def test_a_run_of_another_kind_is_not_resumed(tmp_path: Path, run: Run) -> None:
    write(tmp_path, [tmp_path / "a.png"])
    before = (tmp_path / "predictions.csv").read_bytes()
    with pytest.raises(UsageError, match="another bundle or other options"):
        PredictionFolder(tmp_path, [tmp_path / "a.png"], DataConfig(), run, resume=True)
    assert (tmp_path / "predictions.csv").read_bytes() == before


def test_resuming_what_has_not_begun_begins(tmp_path: Path) -> None:
    folder = PredictionFolder(tmp_path, [tmp_path / "a.png"], DataConfig(), Run(("mask",)), resume=True)
    folder.add(prediction(tmp_path / "a.png"), tmp_path / "a.png")
    folder.close()
    assert paths_of(tmp_path) == ["a.png"]
