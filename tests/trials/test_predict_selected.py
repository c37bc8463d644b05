"""Maps of selected positions against plain loops, and their drawings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.data.data_config import DataConfig
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import EncoderConfig, NetworkConfig, PluginConfig
from venation.trials.overlay import draw_kept
from venation.trials.predict import Predictor, rank_maps

CLASSES = ("a", "b", "c")
KEEP = (0.5, 3.0, 1.0)


def network_for(size: tuple[int, int]) -> MultitaskNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(
        encoder=EncoderConfig(name="test_resnet"),
        plugin=PluginConfig(width=8, keep=KEEP, joint=4),
        num_classes=3,
        size=size,
    )
    return build_network(config).eval()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 144, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_maps_have_the_rank_of_every_selected_position() -> None:
    network = network_for((64, 96))
    with torch.no_grad():
        said = network(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))).plugin
    maps = rank_maps(said)
    assert [tuple(level.shape[1:]) for level in maps] == list(said.sizes)
    for ranks, kept, (height, width) in zip(maps, said.kept, said.sizes, strict=True):
        for image in range(2):
            expected = np.zeros((height, width), dtype=np.float32)
            for rank, place in enumerate(kept[image].tolist()):
                expected[place // width, place % width] = 1 - rank / kept.shape[1]
            np.testing.assert_allclose(ranks[image].numpy(), expected, atol=1e-6)


def test_a_prediction_shows_each_level_over_the_whole_image(photo: Path) -> None:
    config = DataConfig(size="64x96", hflip=0.5)
    network = network_for((64, 96))
    (prediction,) = Predictor(network, CLASSES, config, flips=True).predict([photo], kept=True)
    assert prediction.kept is not None and len(prediction.kept) == 3
    sizes = [(height, width) for height, width in network.plugin.sizes]
    for share, shown, (height, width) in zip(KEEP, prediction.kept, sizes, strict=True):
        assert shown.shape == (96, 144) and shown.dtype == np.uint8 and shown.max() == 255
        # The image has the view's proportions, so that a cell is a rectangle of it; its centre is
        # not blurred.
        down = (np.arange(height) + 0.5) * 96 / height
        across = (np.arange(width) + 0.5) * 144 / width
        cells = shown[down.astype(int)][:, across.astype(int)]
        count = round(share * height * width) if share <= 1 else int(share)
        assert (cells > 0).sum() == count
        assert sorted(np.unique(cells[cells > 0])) == sorted({round(255 * (count - r) / count) for r in range(count)})


def test_positions_outside_the_view_are_zero(photo: Path) -> None:
    config = DataConfig(size=64, fit="crop")
    (prediction,) = Predictor(network_for((64, 64)), CLASSES, config).predict([photo], kept=True)
    assert prediction.kept is not None
    deepest = prediction.kept[-1]
    # The centre, 64 x 64, of 144 x 96; the deepest level keeps everything.
    assert (deepest[16:80, 40:104] > 0).all()
    deepest[16:80, 40:104] = 0
    assert not deepest.any()


def test_there_are_no_maps_without_a_plugin_or_a_request(photo: Path) -> None:
    (prediction,) = Predictor(network_for((64, 64)), CLASSES, DataConfig(size=64)).predict([photo])
    assert prediction.kept is None
    bare = build_network(NetworkConfig(encoder=EncoderConfig(name="test_resnet"), num_classes=3))
    (prediction,) = Predictor(bare, CLASSES, DataConfig(size=64)).predict([photo], kept=True)
    assert prediction.kept is None


def test_panels_darken_dropped_positions_and_colour_the_rest() -> None:
    image = Image.new("RGB", (20, 10), (100, 100, 100))
    first, second = np.zeros((10, 20), dtype=np.uint8), np.full((10, 20), 255, dtype=np.uint8)
    first[:, :5], first[:, 5:10] = 255, 1
    drawn = np.asarray(draw_kept(image, (first, second))).astype(int)
    assert drawn.shape == (10, 44, 3)
    best, last, dropped = drawn[5, 2], drawn[5, 7], drawn[5, 15]
    assert (dropped == 30).all()
    assert best[0] > best[2] and last[2] > last[0]
    assert best.sum() > last.sum() > dropped.sum()
    assert (drawn[:, 24:] == best).all()
    large = draw_kept(Image.new("RGB", (2048, 1024)), [np.zeros((1024, 2048), dtype=np.uint8)] * 3)
    assert large.size == (3 * 512 + 8, 256)
    with pytest.raises(ValueError, match="does not fit"):
        draw_kept(image, [np.zeros((20, 10), dtype=np.uint8)])
