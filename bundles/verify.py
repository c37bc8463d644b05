"""Verify a bundle: hashes, shapes, and agreement of torch, ONNX and the stored samples."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from pydantic import BaseModel, TypeAdapter, ValidationError
from torch import Tensor

from ..data.data_config import DataConfig
from ..data.fit_image import fit_within
from ..data.images import read_image
from ..data.patches import window_inputs
from ..data.pixels import Pixels, resize, size_of
from ..data.transforms import eval_image, fit_pair
from ..data.windows import WindowGrid
from ..errors import UserError
from ..models.mask_logits import mask_probabilities
from .archive import check_inside, read_text_file
from .bundle import open_verified
from .load_network import LoadedBundle, load_parts
from .onnx_model import RunGraph, run_onnx
from .onnx_process import run_apart, run_here
from .record import BOOSTER_ONNX, ONNX, SAMPLES, BundleRecord
from .scoring import read_image_hashes

EXPECTED = f"{SAMPLES}/expected.json"
# Largest absolute difference of a probability between torch, ONNX and the stored samples.
TOLERANCE = 1e-4
# With a combiner that learned the meaning of ranks, rounding may swap two neighbouring ranks.
RANK_TOLERANCE = 1e-2
# The same for the pixels of a mask and for the share of pixels in the mask.
MASK_TOLERANCE = 1e-3


class _Expected(BaseModel):
    """The bundle's outputs for a stored sample at export."""

    probabilities: list[float]
    mask_share: float | None


_EXPECTED = TypeAdapter(dict[str, _Expected])


def check_bundle(bundle: Path) -> dict[str, Any]:
    """Verify a bundle and return the comparisons. Raises UserError with the first failure."""
    with open_verified(bundle) as (folder, record):
        read_image_hashes(folder, record)
        return {"bundle": str(bundle), "files": len(record.files)} | compare(
            folder, load_parts(folder, record), run=run_apart
        )


def write_samples(parts: LoadedBundle, images: list[Path], folder: Path) -> None:
    """Store a few input images with the bundle's outputs for them in the bundle's ``folder``."""
    (folder / SAMPLES).mkdir()
    shrunk = (_shrink(path, parts.record) for path in images)
    names = [_write_sample(image, folder / SAMPLES / str(index)) for index, image in enumerate(shrunk)]
    _, probability_BK, mask_BKHW = _outputs(parts, *_inputs(folder, names, parts.record))
    shares = [None] * len(names) if mask_BKHW is None else _shares(mask_BKHW)
    expected = {
        name: _Expected(probabilities=row.tolist(), mask_share=share)
        for name, row, share in zip(names, probability_BK, shares, strict=True)
    }
    (folder / EXPECTED).write_bytes(_EXPECTED.dump_json(expected, indent=2) + b"\n")


def compare(folder: Path, parts: LoadedBundle, *, run: RunGraph = run_here) -> dict[str, Any]:
    """Return the largest differences between torch, the stored samples and ONNX.

    ``run`` runs a graph. With a booster, the network's own head is compared too, which heat maps
    and the scores ``head_*`` use. Raises UserError above the tolerance.
    """
    expected = _read_expected(folder)
    label_BCHW, mask_BCHW = _inputs(folder, list(expected), parts.record)
    head_BK, probability_BK, mask_BKHW = _outputs(parts, label_BCHW, mask_BCHW)
    onnx = run_onnx(folder / ONNX, label_BCHW.numpy(), run=run)
    if mask_BKHW is not None and mask_BCHW is not label_BCHW:
        onnx["mask"] = run_onnx(folder / parts.record.mask_graph, mask_BCHW.numpy(), needed=("mask",), run=run)["mask"]
    onnx_BK = onnx["probabilities"] if parts.booster is None else parts.booster.predict(onnx["features"])
    found = {
        "samples_difference": _difference(probability_BK, [sample.probabilities for sample in expected.values()]),
        "onnx_difference": _difference(probability_BK, onnx_BK),
    }
    if parts.booster is not None:
        found["onnx_head_difference"] = _difference(head_BK, onnx["probabilities"])
    if BOOSTER_ONNX in parts.record.files:
        graph_BK = run_onnx(folder / BOOSTER_ONNX, onnx["features"], needed=("probabilities",), run=run)[
            "probabilities"
        ]
        found["onnx_booster_difference"] = _difference(probability_BK, graph_BK)
    if mask_BKHW is not None:
        shares = [np.nan if sample.mask_share is None else sample.mask_share for sample in expected.values()]
        found["samples_mask_difference"] = _difference(_shares(mask_BKHW), shares)
        found["onnx_mask_difference"] = _difference(mask_BKHW, onnx.get("mask", []))
    for name, difference in found.items():
        tolerance = MASK_TOLERANCE if "mask" in name else probability_tolerance(parts.record)
        if not difference <= tolerance:
            raise UserError(
                f"the bundle disagrees with itself: {name} {difference:.2e} is above {tolerance:g}; export it again."
            )
    return {"samples": len(expected)} | found


def probability_tolerance(record: BundleRecord) -> float:
    """Return the largest difference of a probability between two ways to compute it."""
    configs = (record.config, *(member.config for member in record.members))
    ranked = any(config.plugin.width and config.plugin.ranks == "learned" for config in configs)
    return RANK_TOLERANCE if ranked else TOLERANCE


def sample_names(folder: Path) -> list[str]:
    """Return the file names of the stored samples. Raises UserError if they cannot be read."""
    return list(_read_expected(folder))


def _read_expected(folder: Path) -> dict[str, _Expected]:
    try:
        expected = _EXPECTED.validate_json(read_text_file(folder / EXPECTED))
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors(include_input=False)[0]["msg"]
        raise UserError(f"{EXPECTED} cannot be read ({reason}); export the bundle again.") from None
    if not expected:
        raise UserError(f"{EXPECTED} has no samples; export the bundle again.")
    for name in expected:
        check_inside(folder, name)
    return expected


def _shrink(path: Path, record: BundleRecord) -> Pixels:
    """Return a copy of the image of at most twice the network's input size."""
    image = read_image(path, record.config.data)
    height, width = map(max, zip(record.config.data.size_HW, record.mask_view.size_HW, strict=True))
    own = size_of(image)
    size = fit_within(own, (min(own[0], 2 * width), min(own[1], 2 * height)))
    return image if size == own else resize(image, size, Image.Resampling.BICUBIC)


def _write_sample(image: Pixels, stem: Path) -> str:
    """Write an image as PNG, or as an array if it has more channels; return the file's name."""
    if image.shape[2] == 3:
        path = stem.with_suffix(".png")
        Image.fromarray(image).save(path)
    else:
        path = stem.with_suffix(".npy")
        np.save(path, image)
    return path.name


def _inputs(folder: Path, names: list[str], record: BundleRecord) -> tuple[Tensor, Tensor]:
    """Return the samples as the network sees them for the label and for the mask.

    The two are one tensor if there is one view. With ``fit=patch`` it is the first window, with
    ``fit=whole`` a crop.
    """
    images = [read_image(folder / SAMPLES / name, record.config.data) for name in names]
    label_BCHW = torch.stack([_input(image, record.config.data) for image in images])
    if record.second_view is None:
        return label_BCHW, label_BCHW
    return label_BCHW, torch.stack([_input(image, record.second_view) for image in images])


def _input(image: Pixels, view: DataConfig) -> Tensor:
    if view.fit == "whole":
        # The graph has one size, and the samples are stacked.
        view = view.model_copy(update={"fit": "crop"})
    if view.fit != "patch":
        return eval_image(image, view)
    image_CHW = fit_pair(image, None, view).image_CHW
    grid = WindowGrid((image_CHW.shape[1], image_CHW.shape[2]), view.size_HW)
    return window_inputs(image_CHW, grid, [0], view)[0]


@torch.inference_mode()
def _outputs(
    parts: LoadedBundle, label_BCHW: Tensor, mask_BCHW: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the head's and the bundle's class probabilities, and masks at the logits' size."""
    output = parts.network(label_BCHW)
    probability_BK = head_BK = output.logits_BN.softmax(dim=1).numpy()
    if parts.booster is not None:
        probability_BK = parts.booster.predict(output.features_BC.numpy())
    mask = (output if mask_BCHW is label_BCHW else parts.network(mask_BCHW)).mask_logits_B1HW
    return head_BK, probability_BK, None if mask is None else mask_probabilities(mask).numpy()


def _shares(mask_BKHW: np.ndarray) -> list[float]:
    """Return the share of each image that is not background."""
    inside_BHW = mask_BKHW[:, 0] > 0.5 if mask_BKHW.shape[1] == 1 else mask_BKHW.argmax(axis=1) > 0
    return [float(share) for share in inside_BHW.mean(axis=(1, 2))]


def _difference(a: ArrayLike, b: ArrayLike) -> float:
    """Return the largest absolute difference; infinite if the shapes differ."""
    try:
        first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except ValueError:
        return float("inf")
    return float(np.abs(first - second).max()) if first.shape == second.shape else float("inf")
