"""The images of a data set as small pictures on the page."""

import functools
from collections.abc import Mapping

from PIL import Image

from ..data.data_config import DataConfig
from ..data.images import read_image, read_mask
from ..data.pixels import shown, size_of
from ..data.samples import Sample
from ..errors import DataError
from .page import thumbnail, tile

SIDE = 160  # pixels
# Distinct on green leaves, also for readers with red-green blindness.
_TINT = (255, 0, 200)


class Pictures:
    """Small pictures of samples by their keys in the data set; without samples there is none."""

    def __init__(self, samples: Mapping[str, Sample], view: DataConfig) -> None:
        self._view = view
        self._samples = samples
        self._of_class: dict[str, list[str]] = {}
        for key, sample in samples.items():
            self._of_class.setdefault(sample.label, []).append(key)

    @property
    def known(self) -> bool:
        """Whether there are samples."""
        return bool(self._samples)

    def of_class(self, label: str, count: int) -> list[str]:
        """Return the keys of at most ``count`` images of a class."""
        return self._of_class.get(label, [])[:count]

    def sample(self, key: str) -> Sample | None:
        """Return the sample ``key``; None if it is unknown."""
        return self._samples.get(key)

    def tile(self, key: str, caption: str, *, mark: str = "") -> str:
        """Return a tile of the page: the picture and its caption."""
        return tile(self._read(key), caption, mark=mark)

    @functools.cache  # noqa: B019 - an instance lives as long as one report
    def _read(self, key: str) -> Image.Image | None:
        sample = self._samples.get(key)
        return None if sample is None else sample_picture(sample, self._view)


def sample_picture(sample: Sample, view: DataConfig, *, mask: bool = False) -> Image.Image | None:
    """Return a small picture of a sample, with its mask tinted if ``mask``; None if unreadable."""
    try:
        image_HWC = read_image(sample.image, view)
        picture = thumbnail(shown(image_HWC), SIDE)
        if not mask or sample.mask is None:
            return picture
        mask_HW = read_mask(sample.mask, size_of(image_HWC), sample.mask_classes) > 0
    except DataError:
        return None
    # An average, so that thin structures stay visible at this size.
    opacity = Image.fromarray(mask_HW).convert("L").resize(picture.size, Image.Resampling.BOX)
    return Image.composite(Image.new("RGB", picture.size, _TINT), picture, opacity)
