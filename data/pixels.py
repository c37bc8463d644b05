"""Images in memory: arrays of 8 bits with any number of channels, resized, and shown to people.

Shapes: H W height and width, C channels.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

# An upright image, H x W x C.
Pixels = npt.NDArray[np.uint8]

# Percentiles of a channel that are shown as black and white: a sensor's rarely fills its range.
_SHOWN = (2, 98)
# Pixels along each side of the sample that percentiles are taken from.
_SAMPLED = 500


def size_of(image_HWC: Pixels) -> tuple[int, int]:
    """Return (width, height) in pixels."""
    return image_HWC.shape[1], image_HWC.shape[0]


def resize(image_HWC: Pixels, size: tuple[int, int], resampling: Image.Resampling) -> Pixels:
    """Return an image resized to ``size`` (width, height), each channel as Pillow resizes greys."""
    if image_HWC.shape[2] == 3:
        # The same values in one pass; Pillow has no images of any other number of equal channels.
        return np.array(Image.fromarray(image_HWC).resize(size, resampling))
    bands = (Image.fromarray(np.ascontiguousarray(band_HW)) for band_HW in np.moveaxis(image_HWC, -1, 0))
    return np.stack([np.asarray(band.resize(size, resampling)) for band in bands], axis=-1)


def shown(image_HWC: Pixels) -> Image.Image:
    """Return the RGB picture of an image that people see.

    Of three channels it is the image itself; of more, the first three are red, green and blue; of
    two, the first is grey. Each of these bands is then stretched from its 2nd to its 98th
    percentile.
    """
    channels = image_HWC.shape[2]
    if channels == 3:
        return Image.fromarray(image_HWC)
    bands = [_stretched(image_HWC[..., number]) for number in range(3 if channels > 3 else 1)]
    return Image.fromarray(np.stack(bands * (3 // len(bands)), axis=-1))


def _stretched(band_HW: Pixels) -> Pixels:
    steps = (max(1, side // _SAMPLED) for side in band_HW.shape)
    low, high = np.percentile(band_HW[:: next(steps), :: next(steps)], _SHOWN)
    values = np.arange(256)
    # A table needs no floats of the image's size. A band of one value stays as it is.
    table = values if low == high else np.clip((values - low) * (255 / (high - low)), 0, 255)
    return np.rint(table).astype(np.uint8)[band_HW]
