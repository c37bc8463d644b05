"""Copies keep their hash, other pictures do not, and pairs are those of a comparison one by one."""

import io

import numpy as np
import pytest
from PIL import Image

from venation.data.images import read_image
from venation.data.manifest import load_manifest
from venation.data.perceptual_hash import NEAR, near_pairs, perceptual_hash


def texture(seed: int, size: int = 128) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((size, size), Image.Resampling.BICUBIC)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def look(image: Image.Image) -> bytes:
    return perceptual_hash(np.asarray(image.convert("RGB")))


def distance(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


def test_the_bits_are_those_of_the_cosine_transform_by_its_definition() -> None:
    values_HW = np.random.default_rng(0).integers(0, 256, (128, 192), dtype=np.uint8)
    small_HW = np.asarray(Image.fromarray(values_HW).resize((64, 64), Image.Resampling.BOX), dtype=float)
    basis = np.cos(np.pi / 64 * (np.arange(64) + 0.5) * np.arange(16)[:, None])
    coefficients = (basis @ small_HW @ basis.T).ravel()
    expected = coefficients > np.median(coefficients[1:])
    expected[0] = False
    assert perceptual_hash(values_HW) == np.packbits(expected).tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_near(seed: int) -> None:
    image = texture(seed)
    copies = [as_jpeg(image, 80), image.resize((64, 64)), image.point(lambda value: min(255, int(1.1 * value)))]
    assert max(distance(look(image), look(copy)) for copy in copies) <= NEAR
    assert distance(look(image), look(texture(seed + 100))) > 3 * NEAR


def test_deep_images_and_many_channels_have_the_hash_of_their_grey_picture() -> None:
    grey_HW = np.asarray(texture(3).convert("L"))
    for values in (grey_HW.astype(np.uint16) * 16, grey_HW / 255.0, np.stack([grey_HW] * 5, axis=-1)):
        assert distance(perceptual_hash(values), perceptual_hash(grey_HW)) <= NEAR


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_flat_image_has_none(value: int) -> None:
    assert perceptual_hash(np.full((50, 40, 3), value, np.uint8)) == b""
    assert perceptual_hash(np.full((50, 40), float(value))) == b""


def test_pairs_are_those_of_a_comparison_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (6, 32), dtype=np.uint8)
    hashes = [b""]
    for _ in range(60):
        flips = np.packbits(random.random(256) < random.choice([0.02, 0.06]))
        hashes.append((base[random.integers(6)] ^ flips).tobytes())
    hashes.append(b"")
    expected = {
        place: earlier
        for place, given in enumerate(hashes)
        if given
        and (earlier := [other for other in range(place) if hashes[other] and distance(hashes[other], given) <= NEAR])
    }
    assert expected
    for block in (1, 200, 2**22):
        monkeypatch.setattr("venation.data.perceptual_hash._BLOCK", block)
        assert {place: earlier.tolist() for place, earlier in near_pairs(hashes)} == expected
    assert list(near_pairs([])) == list(near_pairs([b"", b""])) == []


@pytest.mark.parametrize("name", ["uci_leaf", "hrf_vessels"])
def test_different_real_images_are_not_near(real_data, name: str) -> None:
    samples = load_manifest(real_data(name)).samples
    assert list(near_pairs([perceptual_hash(read_image(sample.image)) for sample in samples])) == []
