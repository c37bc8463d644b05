"""Predicting from Python: the command line's predictions, from paths, arrays and PIL images."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_bundle import SmallBundle, succeed

import venation
from venation.api.bundle import Bundle, load_bundle
from venation.data.data_config import DataConfig
from venation.data.memory_images import image_of_array, image_of_pil
from venation.errors import DataError, UsageError, UserError


@pytest.fixture(scope="module")
def bundle(small_bundle: SmallBundle) -> Bundle:
    return load_bundle(small_bundle.path, device="cpu")


@pytest.fixture(scope="module")
def leaves(small_bundle: SmallBundle) -> list[Path]:
    return sorted((small_bundle.leaves / "images").rglob("*.png"))


def test_it_predicts_as_the_command_line_does(
    bundle: Bundle, small_bundle: SmallBundle, leaves: list[Path], tmp_path: Path
) -> None:
    images, out = small_bundle.leaves / "images", tmp_path / "out"
    succeed("predict", small_bundle.path, images, "-o", out, "--device", "cpu", "--runner", "torch")
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = bundle.predict(small_bundle.leaves / "images")
    assert [str(each.path) for each in found] == [row["path"] for row in rows] == [str(path) for path in leaves]
    assert [each.label for each in found] == [row["label"] for row in rows]
    assert [round(each.probability, 6) for each in found] == [float(row["probability"]) for row in rows]
    for each, path in zip(found, leaves, strict=True):
        masks = [tmp_path / "out" / "masks" / f"{name}.png" for name in (path.stem, f"{path.parent.name}_{path.stem}")]
        (written,) = [mask for mask in masks if mask.exists()]
        assert np.array_equal(np.asarray(Image.open(written)), each.mask)


def test_paths_arrays_and_pil_images_get_the_same_prediction(bundle: Bundle, leaves: list[Path]) -> None:
    image = Image.open(leaves[0]).convert("RGB")
    array = np.asarray(image)
    rgba = np.dstack([array, np.full(array.shape[:2], 7, np.uint8)])
    forms = [leaves[0], str(leaves[0]), image, array, array.astype(np.uint16) * 257, rgba]
    first, *others = bundle.predict(forms, batch_size=4)
    assert first.path == leaves[0] and others[1].path is None
    for other in others:
        assert other.label == first.label and other.probability == pytest.approx(first.probability, abs=1e-6)
        assert np.array_equal(other.mask, first.mask)
    grey = np.asarray(image.convert("L"))
    flat, deep = bundle.predict([grey, grey[:, :, None]])
    assert flat.top == deep.top


def test_a_single_image_needs_no_list_and_a_stream_reads_no_further_than_asked(
    bundle: Bundle, leaves: list[Path]
) -> None:
    assert len(bundle.predict(leaves[0])) == len(bundle.predict(np.zeros((9, 7, 3), np.uint8))) == 1
    taken: list[Path] = []

    def watched():
        for path in leaves:
            taken.append(path)
            yield path

    stream = bundle.stream(watched(), batch_size=2)
    next(stream)
    assert len(taken) == 2
    assert len(list(stream)) == len(leaves) - 1


def test_heat_maps_come_on_request(bundle: Bundle, leaves: list[Path]) -> None:
    plain, asked = bundle.predict(leaves[0])[0], bundle.predict(leaves[0], heat=True)[0]
    assert plain.heat is None and asked.heat is not None
    assert asked.heat.shape == np.asarray(Image.open(leaves[0])).shape[:2]


def test_it_says_what_it_is(bundle: Bundle, small_bundle: SmallBundle) -> None:
    assert bundle.classes == ("cultivar_00", "cultivar_01", "cultivar_02") and bundle.has_masks
    assert 0 <= bundle.metrics["test"]["accuracy"].value <= 1
    assert repr(bundle) == "<Bundle of 3 classes, with masks>"
    assert venation.load_bundle is load_bundle


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4, 2), np.uint8), "shape (4, 4, 2) is no image"),
        (np.zeros((0, 4), np.uint8), "shape (0, 4) is no image"),
        (np.zeros((4, 4, 3), np.float32), "type float32 is no image"),
        (Image.new("F", (4, 4)), "32-bit"),
        ("nowhere.png", "nowhere.png does not exist"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(bundle: Bundle, image: object, says: str) -> None:
    with pytest.raises(DataError) as caught:
        bundle.predict(image)  # type: ignore[arg-type]
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_arrays_have_the_channels_of_the_bundle() -> None:
    five, four = (np.random.default_rng(0).integers(0, 256, (6, 4, n), dtype=np.uint8) for n in (5, 4))
    assert np.array_equal(image_of_array(five, DataConfig(channels=5)), five)
    assert np.array_equal(image_of_array(five / 255, DataConfig(channels=5, white=1)), five)
    assert np.array_equal(image_of_array(four, DataConfig(channels=4)), four)
    assert np.array_equal(image_of_array(four, DataConfig()), four[..., :3])
    for array in (four, five[..., 0], five[..., :3]):
        with pytest.raises(DataError, match=r"is no image: give H x W x 5$"):
            image_of_array(array, DataConfig(channels=5))
    with pytest.raises(DataError, match="the PIL image cannot be decoded .it has 3 channels, and 5 are needed"):
        image_of_pil(Image.fromarray(five[..., :3]), DataConfig(channels=5))


def test_an_object_or_batch_size_of_no_use_is_refused(bundle: Bundle, leaves: list[Path]) -> None:
    with pytest.raises(UsageError, match="type int"):
        bundle.predict([3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="type int"):
        bundle.predict(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch_size=0"):
        bundle.predict(leaves, batch_size=0)


def test_a_truncated_file_is_named(bundle: Bundle, leaves: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "cut.png"
    bad.write_bytes(leaves[0].read_bytes()[:60])
    with pytest.raises(DataError, match=r"cut\.png cannot be decoded"):
        bundle.predict([leaves[0], bad])


def test_a_damaged_bundle_is_refused(copied: Path, tmp_path: Path) -> None:
    weights = copied / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        load_bundle(copied)
    with pytest.raises(UserError, match="is not a bundle"):
        load_bundle(tmp_path / "none.bundle")


def test_arrays_are_scaled_by_the_bundles_white(bundle: Bundle) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (64, 64, 3), dtype=np.uint16)
    data = bundle.record.config.data.model_copy(update={"white": 4095.0})
    record = bundle.record.model_copy(update={"config": bundle.record.config.model_copy(update={"data": data})})
    (twelve,) = Bundle(record, bundle._predictor).predict(values)
    (eight,) = bundle.predict(np.rint(values / 4095 * 255).astype(np.uint8))
    assert twelve.top == eight.top
