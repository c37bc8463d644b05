"""The images of a data set as small pictures on the page."""

import functools
from collections.abc import Mapping

from PIL import Image

from ..data.data_config import DataConfig
from ..data.images import read_image
from ..data.pixels import shown
from ..data.samples import Sample
from ..errors import DataError
from .page import thumbnail, tile

SIDE = 160  # pixels


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
        if sample is None:
            return None
        try:
            return thumbnail(shown(read_image(sample.image, self._view)), SIDE)
        except DataError:
            return None
