"""A network that copies a channel: windows of it must give the image back."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from venation.models.network import NetworkOutput


class CopyNetwork(nn.Module):
    """Mask logits are the red channel, at 1 / ``step`` of the size; labels come from its mean."""

    def __init__(self, step: int = 1) -> None:
        super().__init__()
        self.decoder = nn.Identity()
        self.plugin = None
        self.num_classes = 2
        self.mask_classes = ()
        self._step = step

    def forward(self, x_BCHW: Tensor, segment: bool = True) -> NetworkOutput:
        """Return the red channel and its mean."""
        red_B1HW = x_BCHW[:, :1]
        mean_B1 = red_B1HW.mean(dim=(2, 3))
        logits = F.avg_pool2d(red_B1HW, self._step) if segment else None
        return NetworkOutput(torch.cat([mean_B1, -mean_B1], dim=1), None, logits, mean_B1)


def write_pair(folder: Path, height: int, width: int, *, seed: int = 0, label: str = "a") -> Path:
    """Write a smooth random image and a mask of thin lines; return the image's path."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8))
    for kind in ("images", "masks"):
        (folder / kind / label).mkdir(parents=True, exist_ok=True)
    path = folder / "images" / label / f"{seed}.png"
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
    mask = np.zeros((height, width), np.uint8)
    mask[:: 5 + seed] = 255
    mask[:, :: 7 + seed] = 255
    Image.fromarray(mask).save(folder / "masks" / label / f"{seed}.png")
    return path
