"""The exported ONNX model against torch and the stored samples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.bundles.bundle import ONNX
from venation.bundles.onnx_model import run_onnx, write_onnx
from venation.bundles.predict import LoadedBundle
from venation.bundles.verify import TOLERANCE, compare, write_samples
from venation.data.images import read_image
from venation.errors import UserError


def test_torch_onnx_and_the_samples_agree(rectangular: LoadedBundle, tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(400, 300), (300, 400), (20, 30)]):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_onnx(rectangular.network, rectangular.record.config, folder / ONNX)
    write_samples(rectangular, paths, folder)
    kept = [read_image(folder / "samples" / f"{number}.png").size for number in range(3)]
    assert kept == [(85, 64), (48, 64), (20, 30)]
    found = compare(folder, rectangular)
    assert found["samples"] == 3 and found["onnx_difference"] <= TOLERANCE
    with pytest.raises(UserError, match=r"Got: 80 Expected: 32"):
        run_onnx(folder / ONNX, torch.zeros(1, 3, 80, 32))
