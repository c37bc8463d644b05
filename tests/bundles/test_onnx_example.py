"""The example of the model card: it runs, and prepares an image as Venation does."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import SmallBundle

from venation.bundles.bundle import load_record
from venation.bundles.inference import describe_steps
from venation.bundles.load_network import LoadedBundle, load_parts
from venation.bundles.onnx_example import describe_input, onnx_example
from venation.data.patches import window_inputs
from venation.data.transforms import eval_image, fit_pair
from venation.data.windows import WindowGrid
from venation.spaces.fields import set_fields

CLASSIFIED = re.compile(r"^(\d\.\d{4}) (\w+)$", re.MULTILINE)


def test_the_cards_example_prints_the_boosters_probabilities(small_bundle: SmallBundle) -> None:
    card = (small_bundle.path / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 14
    image = small_bundle.path / "samples" / "0.png"
    command = [sys.executable, "-c", code, "samples/0.png"]
    printed = subprocess.run(command, cwd=small_bundle.path, capture_output=True, text=True, check=True).stdout
    parts = load_parts(small_bundle.path, load_record(small_bundle.path))
    assert parts.booster is not None
    with Image.open(image) as opened, torch.inference_mode():
        output = parts.network(eval_image(np.array(opened), parts.record.config.data)[None])
    (share_N,) = parts.booster.predict(output.features_BC.numpy()).tolist()
    expected = dict(zip(parts.record.classes, share_N, strict=True))
    found = {name: float(share) for share, name in CLASSIFIED.findall(printed)}
    assert found == pytest.approx(expected, abs=2e-4) and len(found) == 3


FITS = (
    {"data.size": "32x80", "data.zoom": 1.25},
    {"data.size": "33x47", "data.zoom": 1.3, "data.interpolation": "bicubic"},
    {"data.size": "48x32", "data.fit": "pad", "data.zoom": 1.0},
    {"data.size": 30, "data.fit": "crop", "data.zoom": 1.0},
    {"data.size": 30, "data.fit": "crop", "data.zoom": 1.0, "data.border": "black"},
    {"data.size": 30, "data.fit": "patch", "data.zoom": 1.0, "data.scale": 0.8},
)


@pytest.mark.parametrize("settings", FITS, ids=str)
def test_the_example_prepares_an_image_as_venation_does(
    settings: dict[str, object], rectangular: LoadedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = set_fields(rectangular.record.config, settings)
    code = onnx_example(rectangular.record.model_copy(update={"config": config}))
    # The lines before the session, without that of the record, whose file Python would close late.
    lines = [line for line in code.split("session = ")[0].splitlines() if not line.startswith("record = ")]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (61, 83, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["example", "image.png"])
    names: dict[str, np.ndarray] = {}
    exec("\n".join(lines), names)
    expected = eval_image(image, config.data)
    if config.data.fit == "patch":
        image_CHW = fit_pair(image, None, config.data).image_CHW
        grid = WindowGrid((image_CHW.shape[1], image_CHW.shape[2]), config.data.size_HW)
        expected = window_inputs(image_CHW, grid, [0], config.data)[0]
    np.testing.assert_allclose(names["x_BCHW"][0], expected.numpy(), atol=1e-5)


def test_the_input_is_described_with_its_fit_and_method(rectangular: LoadedBundle) -> None:
    view = rectangular.record.config.data
    squashed = "resized to 40 x 100 pixels (bilinear, with antialiasing), then cut to the central 32 x 80"
    assert squashed in describe_input(describe_steps(view))
    deep = view.model_copy(update={"fit": "pad", "zoom": 1.0, "white": 4095.0})
    said = describe_input(describe_steps(deep))
    assert "with its aspect to fit into 32 x 80 pixels" in said and "padded evenly with" in said
    assert "4095 becomes 255" in said


def test_an_image_of_many_channels_is_an_array(rectangular: LoadedBundle, tmp_path: Path) -> None:
    config = set_fields(rectangular.record.config, {"data.channels": 5, "data.zoom": 1, "data.fit": "whole"})
    code = onnx_example(rectangular.record.model_copy(update={"config": config}))
    assert "image = np.load(sys.argv[1])  # uint8, height x width x 5\n" in code
    compile(code, "example", "exec")
    said = describe_input(describe_steps(config.data))
    assert said.startswith("An upright image of 5 channels (height x width) is left at its own size, then padded at")
