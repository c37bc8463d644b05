"""Random images, their expected normalisation, and options that turn random changes off."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from venation.data.data_config import DataConfig

NO_AUGMENTATION: dict[str, Any] = {"hflip": 0.0}
NO_NORMALISATION: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def picture(width: int = 40, height: int = 30, seed: int = 0) -> NDArray[np.uint8]:
    """Return an image of random colours, ``(H, W, 3)``."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def normalised(array_HWC: NDArray[np.uint8], config: DataConfig) -> NDArray[np.float64]:
    """Return an image's bytes normalised as for the network, ``(C, H, W)``."""
    scaled = array_HWC.astype(np.float64) / 255
    whitened: NDArray[np.float64] = ((scaled - np.array(config.mean)) / np.array(config.std)).transpose(2, 0, 1)
    return whitened
