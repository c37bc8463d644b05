"""The exported ONNX model against torch and the stored samples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.bundles.load_network import LoadedBundle
from venation.bundles.onnx_model import run_onnx, write_onnx
from venation.bundles.record import ONNX
from venation.bundles.samples import write_samples
from venation.bundles.verify import TOLERANCE, compare
from venation.data.images import read_image
from venation.errors import UserError
from venation.models.build import build_network
from venation.models.memory_format import CPU, place
from venation.models.network_config import EncoderConfig
from venation.spaces.fields import set_fields
from venation.trials.trial_config import TrialConfig


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
    kept = [read_image(folder / "samples" / f"{number}.png").shape for number in range(3)]
    assert kept == [(64, 85, 3), (64, 48, 3), (30, 20, 3)]
    found = compare(folder, rectangular)
    assert found["samples"] == 3 and found["onnx_difference"] <= TOLERANCE
    with pytest.raises(UserError, match=r"Got: 80 Expected: 32"):
        run_onnx(folder / ONNX, np.zeros((1, 3, 80, 32), np.float32))


def test_graph_and_samples_have_the_channels_of_the_data(rectangular: LoadedBundle, tmp_path: Path) -> None:
    config = set_fields(rectangular.record.config, {"data.channels": 5, "decoder.detail": 4})
    record = rectangular.record.model_copy(update={"config": config})
    parts = LoadedBundle(record, build_network(config.network(2)).eval(), None)
    paths = [tmp_path / f"{number}.npy" for number in range(2)]
    for number, path in enumerate(paths):
        np.save(path, np.random.default_rng(number).integers(0, 256, (300, 400, 5), dtype=np.uint8))
    (tmp_path / "bundle").mkdir()
    write_onnx(parts.network, config, tmp_path / "bundle" / ONNX)
    write_samples(parts, paths, tmp_path / "bundle")
    assert np.load(tmp_path / "bundle" / "samples" / "0.npy").shape == (64, 85, 5)
    found = compare(tmp_path / "bundle", parts)
    assert found["samples"] == 2 and found["onnx_difference"] <= TOLERANCE
    with pytest.raises(UserError, match=r"Got: 3 Expected: 5"):
        run_onnx(tmp_path / "bundle" / ONNX, np.zeros((1, 3, 32, 80), np.float32))


def test_a_graph_of_whole_images_takes_sides_that_end_in_one_position(tmp_path: Path) -> None:
    """Trace a network in the memory format of training on a CPU; 32 pixels end in one position."""
    config = TrialConfig(encoder=EncoderConfig(name="test_resnet"), data={"size": 64, "fit": "whole"})
    network = place(build_network(config.network(2)), CPU).eval()
    write_onnx(network, config, tmp_path / ONNX)
    for size in ((32, 32), (32, 50), (77, 71)):
        image_1CHW = np.random.default_rng(0).standard_normal((1, 3, *size), np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(image_1CHW)).logits_BN.softmax(1)
        np.testing.assert_allclose(run_onnx(tmp_path / ONNX, image_1CHW)["probabilities"], expected, atol=1e-5)
