"""The description in bundle.json: the program of the docs reads it as `predict` does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_bundle import SmallBundle, succeed

from venation.bundles.bundle import load_record
from venation.bundles.load_network import LoadedBundle
from venation.bundles.record import BundleRecord
from venation.data.fit_image import eval_array
from venation.spaces.fields import set_fields
from venation.trials.flips import Flip
from venation.trials.image_predictor import ImagePredictor
from venation.trials.runner import Array, Outputs

PAGE = Path(__file__).parents[2] / "docs/how-to/other-programs.md"
PROGRAM = PAGE.read_text().split("```python\n")[1].split("```")[0]
READER: dict[str, Any] = {"__name__": "read_bundle"}
exec(compile(PROGRAM, str(PAGE), "exec"), READER)

SIZES = [(61, 83), (90, 41), (20, 31), (33, 100)]
VIEWS = {
    "squash": {"data.size": "32x80"},
    "zoom": {"data.size": "33x47", "data.zoom": 1.3, "data.interpolation": "bicubic"},
    "pad": {"data.size": "48x40", "data.fit": "pad"},
    "crop": {"data.size": 40, "data.fit": "crop"},
    "crop of version 0.1": {"data.size": 41, "data.fit": "crop", "data.border": "black"},
    "whole": {"data.size": 40, "data.fit": "whole"},
    "windows": {"data.size": 32, "data.fit": "patch"},
    "windows of smaller images": {"data.size": "32x48", "data.fit": "patch", "data.scale": 0.7},
    "windows of larger images": {"data.size": 64, "data.fit": "patch", "data.scale": 1.6},
}


def network(x_BCHW: Array, maps: int) -> tuple[Array, Array]:
    """Return probabilities and logits that depend on every pixel; the map is half as large."""
    level_B = x_BCHW.mean(axis=(1, 2, 3)) + x_BCHW[:, 0, ::3].mean(axis=(1, 2))
    share_B = 1 / (1 + np.exp(-3 * level_B))
    half_BChw = x_BCHW[:, :, ::2, ::2]
    logits = np.stack([half_BChw[:, number % 3] - 0.3 * number for number in range(maps)], axis=1)
    return np.stack([share_B, 1 - share_B], axis=1).astype(np.float32), logits.astype(np.float32)


class Arithmetic:
    """A runner whose network is a formula."""

    num_classes, has_masks, selects, draws_heat = 2, True, False, False

    def __init__(self, mask_classes: tuple[str, ...]) -> None:
        self.mask_classes = mask_classes

    def run(
        self, x_BCHW: Array, *, flips: tuple[Flip, ...], segment: bool, heat: bool = False, kept: bool = False
    ) -> Outputs:
        probability_BN, logits_BKhw = network(x_BCHW, len(self.mask_classes) + 1 if self.mask_classes else 1)
        return Outputs(probability_BN, (probability_BN,), logits_BKhw if segment else None)


def described(record: BundleRecord) -> dict[str, Any]:
    """Return the record as another program reads it."""
    return json.loads(record.model_copy(update={"inference": record.describe()}).model_dump_json())


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    rough = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.mark.parametrize("classes", [{}, {"decoder.classes": "vein,hole"}], ids=["one structure", "two structures"])
@pytest.mark.parametrize("settings", VIEWS.values(), ids=VIEWS)
def test_the_program_of_the_docs_answers_as_predict_does(
    settings: dict[str, Any], classes: dict[str, str], rectangular: LoadedBundle
) -> None:
    config = set_fields(rectangular.record.config, {"data.zoom": 1.0} | classes | settings)
    record = described(rectangular.record.model_copy(update={"config": config}))
    predictor = ImagePredictor(Arithmetic(config.decoder.classes), ("ash", "elm"), config.data)

    def run(graph: str, output: str, name: str, values: Array) -> Array:
        assert (graph, name) == ("model.onnx", "image")
        maps = len(config.decoder.classes) + 1 if config.decoder.classes else 1
        return network(values, maps)[output == "mask_logits"]

    for size in SIZES:
        image = picture(size)
        steps = record["inference"]["labels"]["image"]
        axes = READER["axes_of"](size, steps)
        if not steps["windows"]:
            seen = READER["prepare"](image, axes, steps)[0]
            np.testing.assert_allclose(seen, eval_array(np.array(image), config.data), atol=2e-6)
            assert steps["size"] in (None, list(seen.shape[1:]))
        (expected,) = predictor.predict_batch([(None, np.array(image))])
        share = dict(zip(("ash", "elm"), READER["label"](image, record, run).tolist(), strict=True))
        assert share == pytest.approx(dict(expected.top), abs=1e-5)
        mask = READER["mask"](image, record, run)
        assert expected.mask is not None and mask.shape == size and len(np.unique(mask)) > 1
        assert mask.dtype == np.uint8 and (mask == expected.mask).mean() > 0.999


def test_the_program_reads_a_bundle_with_a_booster_as_predict_does(small_bundle: SmallBundle, tmp_path: Path) -> None:
    path = tmp_path / "leaf.png"
    picture((70, 50)).save(path)
    command = [sys.executable, "-c", PROGRAM, small_bundle.path, path, tmp_path / "mask.png"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    row = json.loads(succeed("predict", small_bundle.path, path, "-o", tmp_path / "out", "--json"))
    found = json.loads(done.stdout)
    assert found["probability"] == pytest.approx(row["probability"], abs=1e-4)
    assert (found["label"], found["answer"]) == (row["label"], row["answer"])
    ours, theirs = (np.asarray(Image.open(name)) for name in (tmp_path / "mask.png", tmp_path / "out" / row["mask"]))
    assert ours.shape == (70, 50) and (ours == theirs).mean() > 0.999
    record = load_record(small_bundle.path)
    assert record.inference == record.describe()
    assert record.inference is not None and record.inference.labels.booster == "booster.onnx"
