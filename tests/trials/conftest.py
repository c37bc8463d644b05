"""Striped images whose masks are the stripes, and networks that train in a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.data.data_config import DataConfig
from venation.data.manifest import Manifest, Sample, load_manifest
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig

SIZE = 32
CONFIG = DataConfig(size=SIZE, hflip=0.0)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def draw_stripes(label: int, seed: int, *, size: int = SIZE) -> tuple[Image.Image, Image.Image]:
    """Draw noisy stripes at a random phase: label 0 vertical, 1 horizontal, 2 slanted."""
    rng = np.random.default_rng((label, seed))
    down, across = np.mgrid[:size, :size]
    along = (across, down, across + down)[label]
    stripes = (along + rng.integers(8)) % 8 < 3
    pixels = 90 + 80 * stripes[..., None] + rng.normal(0, 20, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), Image.fromarray(stripes.astype(np.uint8) * 255)


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Write 3 classes of 10 images with masks."""
    root = tmp_path_factory.mktemp("stripes")
    for label, name in enumerate(("level", "slant", "upright")):
        for kind in ("images", "masks"):
            (root / kind / name).mkdir(parents=True)
        for seed in range(10):
            image, mask = draw_stripes(label, seed)
            image.save(root / "images" / name / f"{seed}.png")
            mask.save(root / "masks" / name / f"{seed}.png")
    return load_manifest(root)


@pytest.fixture(scope="session")
def parts(stripes: Manifest) -> tuple[list[Sample], list[Sample]]:
    """Split the images: seven of each class for training, three for validation."""
    train = [sample for sample in stripes.samples if int(sample.image.stem) < 7]
    return train, [sample for sample in stripes.samples if int(sample.image.stem) >= 7]


@pytest.fixture
def make_network() -> Callable[..., MultitaskNetwork]:
    """Return a function that builds a tiny network from a seed."""

    def make(*, seed: int = 0, decoder: DecoderConfig | None = None, gate: str = "meanmax") -> MultitaskNetwork:
        torch.manual_seed(seed)
        config = NetworkConfig(
            encoder=EncoderConfig(name="test_resnet"), gate=gate, decoder=decoder or DecoderConfig(), num_classes=3
        )
        return build_network(config)

    return make


@pytest.fixture
def unet() -> DecoderConfig:
    """Return the config of the cheapest decoder."""
    return DecoderConfig(kind="unet", channels=8)


@pytest.fixture
def folder_of_images(tmp_path: Path) -> Path:
    """Write two images of different shapes."""
    for name, size in (("a", (40, 30)), ("b", (30, 50))):
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    return tmp_path
