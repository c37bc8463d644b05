"""Prepared images: equal to torchvision's to the last bit, and without torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image, ImageOps
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from venation.data.data_config import DataConfig
from venation.data.fit_image import eval_array, fit_image, to_CHW, window_arrays
from venation.data.windows import WindowGrid

MODES = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def normalised(image_HWC: np.ndarray, config: DataConfig) -> torch.Tensor:
    """Return torchvision's float tensor."""
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(*map(list, config.normalisation))])
    return steps(torch.from_numpy(image_HWC.transpose(2, 0, 1).copy()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("zoom", [1.0, 1.31])
def test_a_squashed_image_is_torchvisions_to_the_last_bit(mode: str, zoom: float) -> None:
    config = DataConfig(size="33x47", zoom=zoom, interpolation=mode)
    size = (round(47 * zoom), round(33 * zoom))
    resized = np.asarray(Image.fromarray(picture()).resize(size, MODES[mode]))
    expected = tvf.center_crop(normalised(resized, config), [33, 47])
    assert torch.equal(torch.from_numpy(eval_array(picture(), config)), expected)


def test_a_padded_image_is_pillows_to_the_last_bit() -> None:
    config = DataConfig(size="33x60", fit="pad", mean=(0.5, 0.5, 0.5))
    padded = ImageOps.pad(Image.fromarray(picture()), (60, 33), Image.Resampling.BILINEAR, color=(128, 128, 128))
    assert torch.equal(torch.from_numpy(eval_array(picture(), config)), normalised(np.asarray(padded), config))


def test_a_crop_has_the_papers_border_to_the_last_bit() -> None:
    config = DataConfig(size=40, fit="crop")
    image = picture(23, 50)
    expected = torch.zeros(3, 40, 40)
    expected[:, :, :23] = normalised(image[5:45], config)
    assert torch.equal(torch.from_numpy(eval_array(image, config)), expected)


def test_windows_are_cut_padded_and_normalised() -> None:
    config = DataConfig(size=32, fit="patch", scale=0.5, mean=(0.5, 0.5, 0.5))
    image_CHW = to_CHW(fit_image(picture(90, 50), config))
    assert image_CHW.shape == (3, 25, 45)
    grid = WindowGrid((25, 45), (32, 32))
    found = window_arrays(image_CHW, grid, range(len(grid)), config)
    whole = np.full((32, 45, 3), 128, np.uint8)
    whole[:25] = np.asarray(Image.fromarray(picture(90, 50)).resize((45, 25), Image.Resampling.BILINEAR))
    for window, left in zip(found, grid.columns.starts, strict=True):
        assert torch.equal(torch.from_numpy(window), normalised(whole[:, left : left + 32], config))


def test_it_imports_no_torch() -> None:
    code = "import sys; import venation.data.fit_image; print({'torch', 'torchvision', 'scipy'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
