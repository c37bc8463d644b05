"""A whole image predicted by windows: mask, label, heat and ranks against the network itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.data.data_config import DataConfig
from venation.data.images import read_image
from venation.data.patches import window_inputs
from venation.data.transforms import fit_pair
from venation.data.windows import WindowGrid
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig, PluginConfig
from venation.trials.predict import Predictor

from .whole_images import CopyNetwork, write_pair

CONFIG = DataConfig(size=32, fit="patch", hflip=0.5)
SIZES = [(70, 45), (33, 90), (20, 25), (32, 32), (129, 131)]
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("flips", [False, True])
def test_a_network_that_copies_gives_the_image_back(tmp_path: Path, size: tuple[int, int], flips: bool) -> None:
    path = write_pair(tmp_path, *size)
    (found,) = Predictor(CopyNetwork(), ("a", "b"), CONFIG, flips=flips).predict([path])
    red = np.asarray(read_image(path))[..., 0]
    # Sums of weights round, so pixels at the threshold itself may fall on either side.
    sure = np.abs(red - 255 * CONFIG.mean[0]) > 0.01
    assert found.mask.shape == size and np.array_equal(found.mask[sure] > 0, (red > 255 * CONFIG.mean[0])[sure])


def test_the_label_is_the_mean_over_the_windows(tmp_path: Path, make_network: Make, unet: DecoderConfig) -> None:
    path = write_pair(tmp_path, 50, 70)
    network = make_network(decoder=unet)
    (found,) = Predictor(network, CLASSES, CONFIG).predict([path])
    image_CHW = fit_pair(read_image(path), None, CONFIG).image_CHW
    grid = WindowGrid((50, 70), (32, 32))
    with torch.no_grad():
        output = network.eval()(window_inputs(image_CHW, grid, range(len(grid)), CONFIG))
    expected = output.logits_BN.softmax(dim=1).mean(dim=0)
    assert dict(found.top) == pytest.approx({CLASSES[at]: float(expected[at]) for at in range(3)}, rel=1e-4)


def test_masks_may_have_a_view_of_their_own(tmp_path: Path) -> None:
    path, labels = write_pair(tmp_path, 50, 70), DataConfig(size=48)
    (both,) = Predictor(CopyNetwork(), ("a", "b"), labels, mask_config=CONFIG).predict([path])
    (label,) = Predictor(CopyNetwork(), ("a", "b"), labels).predict([path])
    (mask,) = Predictor(CopyNetwork(), ("a", "b"), CONFIG).predict([path])
    assert both.top == label.top and np.array_equal(both.mask, mask.mask)
    assert both.top != mask.top and not np.array_equal(both.mask, label.mask)


def test_heat_covers_the_whole_image(tmp_path: Path, make_network: Make) -> None:
    path = write_pair(tmp_path, 40, 90)
    (found,) = Predictor(make_network(), CLASSES, CONFIG).predict([path], heat=True)
    assert found.mask is None and found.heat.shape == (40, 90) and found.heat.max() == 1 and found.heat.min() >= 0
    (one,) = Predictor(make_network(), CLASSES, CONFIG.model_copy(update={"size": "48x96"})).predict([path], heat=True)
    assert one.heat.shape == (40, 90)


def test_ranks_of_selected_positions_cover_the_whole_image(tmp_path: Path) -> None:
    path = write_pair(tmp_path, 40, 90)
    torch.manual_seed(0)
    plugin = PluginConfig(width=8, keep=(0.5, 0.5), joint=2)
    network = build_network(
        NetworkConfig(encoder=EncoderConfig(name="test_resnet"), plugin=plugin, num_classes=3, size=(32, 32))
    )
    (found,) = Predictor(network, CLASSES, CONFIG).predict([path], kept=True)
    assert [rank.shape for rank in found.kept] == [(40, 90)] * 2
    assert all(rank.max() == 255 and (rank > 0).mean() > 0.3 for rank in found.kept)


def test_a_scaled_copy_gives_a_mask_at_the_true_size(tmp_path: Path) -> None:
    path = write_pair(tmp_path, 61, 83)
    whole, half = (
        next(Predictor(CopyNetwork(), ("a", "b"), CONFIG.model_copy(update={"scale": scale})).predict([path])).mask
        for scale in (1.0, 0.5)
    )
    assert half.shape == whole.shape and (half == whole).mean() > 0.95


_PREDICT = r"""
import re, sys
from pathlib import Path
import numpy as np
from whole_images import CopyNetwork
from venation.data.data_config import DataConfig
from venation.data.images import read_image
from venation.data.pixels import shown
from venation.trials.overlay import draw_mask
from venation.trials.predict import Predictor
path = Path(sys.argv[1])
(found,) = Predictor(CopyNetwork(2), ("a", "b"), DataConfig(size=256, fit="patch")).predict([path])
assert draw_mask(shown(read_image(path)), found.mask).size == (found.mask.shape[1], found.mask.shape[0])
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
print(*found.mask.shape, peak)
"""


# The peak in getrusage includes the memory of the process that started this one.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux, which reports a process's peak")
@pytest.mark.slow
def test_a_scan_of_24_megapixels_and_its_overlay_fit_into_two_gibibytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((6000, 4000)).save(tmp_path / "scan.jpg")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", _PREDICT, str(tmp_path / "scan.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    *found, kibibytes = map(int, done.stdout.split())
    assert found == [4000, 6000] and kibibytes < 2 * 1024**2


def test_a_panorama_is_predicted_whole(tmp_path: Path) -> None:
    pixels = np.zeros((40, 30_000, 3), np.uint8)
    pixels[:, 29_000:] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    config = CONFIG.model_copy(update={"size": "32x256"})
    (found,) = Predictor(CopyNetwork(), ("a", "b"), config).predict([tmp_path / "wide.png"])
    assert np.array_equal(found.mask > 0, pixels[..., 0] > 0)
