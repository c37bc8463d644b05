"""The stored samples of a bundle: a few input images, and the bundle's answers for them.

Shapes: B images, K classes or maps of a mask, H W the input.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
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
from .load_network import LoadedBundle
from .record import SAMPLES, BundleRecord

EXPECTED = f"{SAMPLES}/expected.json"


class Expected(BaseModel):
    """The bundle's outputs for a stored sample at export."""

    probabilities: list[float]
    mask_share: float | None


_EXPECTED = TypeAdapter(dict[str, Expected])


class Answers(NamedTuple):
    """Hold the network's inputs for the samples, and the bundle's answers in torch.

    ``head_BK`` are the class probabilities of the network's own head. The inputs are one array
    if label and mask have one view.
    """

    label_BCHW: np.ndarray
    mask_BCHW: np.ndarray
    head_BK: np.ndarray
    probability_BK: np.ndarray
    mask_BKHW: np.ndarray | None


def write_samples(parts: LoadedBundle, images: list[Path], folder: Path) -> None:
    """Store a few input images with the bundle's outputs for them in the bundle's ``folder``."""
    (folder / SAMPLES).mkdir()
    shrunk = (_shrink(path, parts.record) for path in images)
    names = [_write_sample(image, folder / SAMPLES / str(index)) for index, image in enumerate(shrunk)]
    answers = answer_samples(folder, parts, names)
    shares = [None] * len(names) if answers.mask_BKHW is None else mask_shares(answers.mask_BKHW)
    expected = {
        name: Expected(probabilities=row.tolist(), mask_share=share)
        for name, row, share in zip(names, answers.probability_BK, shares, strict=True)
    }
    (folder / EXPECTED).write_bytes(_EXPECTED.dump_json(expected, indent=2) + b"\n")


def answer_samples(folder: Path, parts: LoadedBundle, names: list[str]) -> Answers:
    """Return the answers in torch for the samples ``names`` of the bundle's ``folder``."""
    inputs = _inputs(folder, names, parts.record)
    label_BCHW, mask_BCHW = (each.numpy() for each in inputs)
    if inputs[1] is inputs[0]:
        mask_BCHW = label_BCHW
    return Answers(label_BCHW, mask_BCHW, *_outputs(parts, *inputs))


def sample_names(folder: Path) -> list[str]:
    """Return the file names of the stored samples. Raises UserError if they cannot be read."""
    return list(read_expected(folder))


def read_expected(folder: Path) -> dict[str, Expected]:
    """Return the stored answers by file name. Raises UserError if they cannot be read."""
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
    label_BCHW = torch.stack([network_input(image, record.config.data) for image in images])
    if record.second_view is None:
        return label_BCHW, label_BCHW
    return label_BCHW, torch.stack([network_input(image, record.second_view) for image in images])


def network_input(image: Pixels, view: DataConfig) -> Tensor:
    """Return an image as the network sees it; of whole images a window or a crop, of one size."""
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


def mask_shares(mask_BKHW: np.ndarray) -> list[float]:
    """Return the share of each image that is not background."""
    inside_BHW = mask_BKHW[:, 0] > 0.5 if mask_BKHW.shape[1] == 1 else mask_BKHW.argmax(axis=1) > 0
    return [float(share) for share in inside_BHW.mean(axis=(1, 2))]
