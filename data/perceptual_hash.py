"""Hashes of how an image looks: a copy that was saved again, resized or brightened keeps most bits.

The DCT hash ("pHash") of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions" (2010), with 16 x 16 coefficients in place of 8 x 8: pictures of one kind of object on
one background differ in few of the lowest 64.

Shapes: I images, J of them, B bits, F frequencies, S a side.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

# Copies saved as JPEG of quality 80, or at half size, differ in up to 6 bits; different leaves, and
# patches of retinas at the same place, in 18 or more.
NEAR = 12
_SIDE, _FREQUENCIES = 64, 16
_BITS = _FREQUENCIES**2
# A picture whose grey values deviate less, as a share of their range, shows nothing to compare.
_FLAT = 0.01
# Comparisons that are in memory at once, 4 bytes each.
_BLOCK = 2**22
# The cosine transform of one side, times a constant: its lowest frequencies, one a row.
_BASIS_FS = np.cos(np.pi / _SIDE * (np.arange(_SIDE) + 0.5) * np.arange(_FREQUENCIES)[:, None])


def perceptual_hash(values: npt.NDArray[np.generic]) -> bytes:
    """Return the 32 bytes of an image, H x W or H x W x C of any type; empty for a flat image.

    The bits say which of the lowest 16 x 16 frequencies of the grey image, made 64 x 64, are above
    their median; the first, its mean, is left out.
    """
    small_HW = np.asarray(_grey(values).resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)
    if small_HW.std() <= _FLAT * max(255.0 if values.dtype == np.uint8 else 0.0, float(np.abs(small_HW).max())):
        return b""
    coefficients = (_BASIS_FS @ small_HW @ _BASIS_FS.T).ravel()
    coefficients[0] = -np.inf
    return np.packbits(coefficients > np.median(coefficients[1:])).tobytes()


def near_pairs(hashes: Sequence[bytes], most: int = NEAR) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each image with the earlier ones whose hash differs in at most ``most`` bits.

    An empty hash is near to none. Takes I * I / 2 comparisons, of which a bounded number are in
    memory.
    """
    known_I = np.array([place for place, look in enumerate(hashes) if look], dtype=np.int64)
    bit_IB = np.unpackbits(np.frombuffer(b"".join(hashes), dtype=np.uint8)).reshape(-1, _BITS)
    # Signs, so that a product of matrices counts the bits that agree less those that differ.
    sign_IB = bit_IB.astype(np.float32) * 2 - 1
    step = max(1, _BLOCK // max(1, len(known_I)))
    for start in range(0, len(known_I), step):
        stop = min(start + step, len(known_I))
        near_JI = np.tril(sign_IB[start:stop] @ sign_IB[:stop].T >= _BITS - 2 * most, start - 1)
        for row in np.flatnonzero(near_JI.any(axis=1)):
            yield int(known_I[start + row]), known_I[np.flatnonzero(near_JI[row])]


def _grey(values: npt.NDArray[np.generic]) -> Image.Image:
    """Return the image in grey; of more than three channels, the first three."""
    if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3:
        return Image.fromarray(values).convert("L")
    grey_HW = values if values.ndim == 2 else values[..., :3].mean(axis=-1, dtype=np.float32)
    return Image.fromarray(grey_HW if grey_HW.dtype == np.uint8 else grey_HW.astype(np.float32))
