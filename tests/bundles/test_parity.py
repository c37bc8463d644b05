"""The gate of an export: hand-made disagreements of two runners, and a graph of another network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from venation.bundles.load_network import LoadedBundle
from venation.bundles.onnx_model import write_onnx
from venation.bundles.parity import compare_runners, require_agreement
from venation.bundles.record import ONNX
from venation.bundles.samples import write_samples
from venation.errors import UserError
from venation.models.build import build_network
from venation.trials.prediction import Prediction

MASK = np.zeros((40, 50), np.uint8)
ASH = Prediction(Path("0.png"), "ash", 0.8, [("ash", 0.8), ("elm", 0.2)], MASK, None)


def masked(pixels: int) -> Prediction:
    """Return the prediction with ``pixels`` of 2,000 changed in its mask."""
    mask = MASK.copy()
    mask.flat[:pixels] = 255
    return replace(ASH, mask=mask)


def test_predictions_within_the_bounds_agree() -> None:
    close = replace(masked(2), probability=0.80005, top=[("ash", 0.80005), ("elm", 0.19995)])
    found = require_agreement([ASH, ASH], [ASH, close], tolerance=1e-4)
    assert found == {"runners_difference": pytest.approx(5e-5), "runners_mask_agreement": 0.999}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (replace(ASH, label="elm", top=[("elm", 0.8), ("ash", 0.2)]), "`ash` by torch and `elm` by onnxruntime"),
        (replace(ASH, top=[("ash", 0.7998), ("elm", 0.2002)]), "a probability differs by 2.00e-04, above 0.0001"),
        (replace(ASH, top=[("ash", float("nan")), ("elm", 0.2)]), "differs by nan"),
        (masked(3), "99.85% of the mask's pixels are equal, below 99.9%"),
    ],
)
def test_a_disagreement_is_refused_with_the_sample(other: Prediction, says: str) -> None:
    with pytest.raises(UserError, match="the sample 0.png") as error:
        require_agreement([ASH], [other], tolerance=1e-4)
    assert says in str(error.value)


def test_two_classes_as_probable_may_change_places() -> None:
    even = replace(ASH, probability=0.50004, top=[("ash", 0.50004), ("elm", 0.49996)])
    other = replace(ASH, label="elm", probability=0.50001, top=[("elm", 0.50001), ("ash", 0.49999)])
    require_agreement([even], [other], tolerance=1e-4)


def test_a_graph_of_another_network_is_refused(rectangular: LoadedBundle, tmp_path: Path) -> None:
    image = tmp_path / "leaf.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(image)
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_samples(rectangular, [image], folder)
    write_onnx(rectangular.network, rectangular.record.config, folder / ONNX)
    assert compare_runners(folder, rectangular)["runners_mask_agreement"] > 0.999
    torch.manual_seed(7)
    other = LoadedBundle(rectangular.record, build_network(rectangular.record.config.network(2)).eval(), None)
    with pytest.raises(UserError, match="torch and onnxruntime disagree on the sample 0.png"):
        compare_runners(folder, other)
