"""Decode every file of a data set once, so that a broken one is found before the training."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ..errors import DataError
from .data_config import DataConfig
from .images import read_image, read_mask
from .progress import tracked
from .samples import Sample

_SHOWN = 3


def check_decodable(samples: Sequence[Sample], view: DataConfig) -> None:
    """Decode every image, as ``view`` reads it, and every mask.

    Raises DataError that names the first files that cannot be decoded, and counts the others.
    """

    def problem(sample: Sample) -> str | None:
        try:
            pixel_HWC = read_image(sample.image, view)
            if sample.mask is not None:
                read_mask(sample.mask, (pixel_HWC.shape[1], pixel_HWC.shape[0]), sample.mask_classes)
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = [text for text in tracked(pool.map(problem, samples), "decoding images", len(samples)) if text]
    if found:
        others = len(found) - _SHOWN
        more = f"; and {others} more: `venation data check` lists all" if others > 0 else ""
        raise DataError("; ".join(found[:_SHOWN]) + more)
