"""Is a bundle what it says: hashes, shapes, and torch, ONNX and the stored samples in agreement."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.images import read_image
from ..data.transforms import eval_image
from ..errors import UserError
from ..trials.config import TrialConfig
from .bundles import ONNX, SAMPLES, damaged_files, load_record, opened
from .inference import LoadedBundle, load_parts
from .onnx_model import run_onnx

EXPECTED = f"{SAMPLES}/expected.json"
TOLERANCE = 1e-4  # largest absolute difference of a probability between torch, ONNX and the stored samples
MASK_TOLERANCE = 1e-3  # share of mask pixels that may flip: those whose probability is 0.5 to within rounding


def check_bundle(bundle: Path) -> dict[str, Any]:
    """Verify a bundle and return what was compared; UserError that names the first thing that is not right."""
    with opened(bundle) as folder:
        record = load_record(folder)
        if damage := damaged_files(folder, record):
            raise UserError(f"bundle `{bundle}` is damaged: {'; '.join(damage)}. Copy or export it again.")
        return {"bundle": str(bundle), "files": len(record.files)} | compare(folder, load_parts(folder, record))


def write_samples(parts: LoadedBundle, images: list[Path], folder: Path) -> None:
    """Keep a few inputs with what the bundle says of them; ``folder`` is the bundle's."""
    (folder / SAMPLES).mkdir()
    config = parts.record.config
    for index, path in enumerate(images):
        _as_seen(path, config).save(folder / SAMPLES / f"{index}.png")
    names = [f"{index}.png" for index in range(len(images))]
    probability_BK, mask_BHW = _answers(parts, _inputs(folder, names, config))
    expected = {
        name: {
            "probabilities": [float(p) for p in row],
            "mask_share": None if mask_BHW is None else _share(mask_BHW[at]),
        }
        for at, (name, row) in enumerate(zip(names, probability_BK, strict=True))
    }
    (folder / EXPECTED).write_text(json.dumps(expected, indent=2) + "\n")


def compare(folder: Path, parts: LoadedBundle) -> dict[str, Any]:
    """Largest differences between torch and the stored samples, and between torch and ONNX; UserError above tolerance."""
    expected = json.loads((folder / EXPECTED).read_text())
    names = sorted(expected)
    image_BCHW = _inputs(folder, names, parts.record.config)
    probability_BK, mask_BHW = _answers(parts, image_BCHW)
    stored_BK = np.array([expected[name]["probabilities"] for name in names])
    found: dict[str, Any] = {"samples": len(names), "samples_difference": _difference(probability_BK, stored_BK)}
    onnx = run_onnx(folder / ONNX, image_BCHW)
    onnx_BK = onnx["probabilities"] if parts.booster is None else parts.booster.predict(onnx["features"])
    found["onnx_difference"] = _difference(probability_BK, onnx_BK)
    for name in ("samples_difference", "onnx_difference"):
        if not found[name] <= TOLERANCE:
            raise UserError(
                f"the bundle disagrees with itself: {name} {found[name]:.2e} is above {TOLERANCE:g}; export it again."
            )
    if mask_BHW is not None:
        shares = [abs(_share(mask) - expected[name]["mask_share"]) for name, mask in zip(names, mask_BHW, strict=True)]
        flipped = float(((onnx["mask"][:, 0] > 0.5) != mask_BHW).mean())
        found |= {"samples_mask_difference": max(shares), "onnx_mask_difference": flipped}
        if not max(flipped, *shares) <= MASK_TOLERANCE:
            raise UserError(
                f"the bundle disagrees with itself: masks differ in {max(flipped, *shares):.2%} of the pixels."
            )
    return found


def _as_seen(path: Path, config: TrialConfig) -> Image.Image:
    """A picture small enough to keep: at most twice the network's size."""
    image = read_image(path)
    image.thumbnail((2 * config.data.size, 2 * config.data.size))
    return image


def _inputs(folder: Path, names: list[str], config: TrialConfig) -> Tensor:
    return torch.stack([eval_image(read_image(folder / SAMPLES / name), config.data) for name in names])


@torch.inference_mode()
def _answers(parts: LoadedBundle, image_BCHW: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Class probabilities and binary masks at the logits' size."""
    output = parts.network(image_BCHW)
    probability_BK = output.logits_BN.softmax(dim=1).numpy()
    if parts.booster is not None:
        probability_BK = parts.booster.predict(output.features_BC.numpy())
    mask = output.mask_logits_B1HW
    return probability_BK, None if mask is None else (mask[:, 0] > 0).numpy()


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def _share(mask_HW: np.ndarray) -> float:
    return float(mask_HW.mean())
