"""Load a bundle and predict images from Python."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..bundles.bundle import open_verified
from ..bundles.compact import Precision
from ..bundles.open_predictor import RunnerName, open_predictor
from ..bundles.record import BundleRecord, Interval
from ..data.data_config import DataConfig
from ..data.images import read_image
from ..data.memory_images import image_of_array, image_of_pil
from ..data.pixels import Pixels
from ..errors import UsageError
from ..trials.image_predictor import ImagePredictor
from ..trials.prediction import Prediction, expand_paths

_SINGLE = (str, os.PathLike, Image.Image, np.ndarray)

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | npt.NDArray[Any]


class Bundle:
    """A bundle that is ready to predict; ``load_bundle`` makes one."""

    def __init__(self, record: BundleRecord, predictor: ImagePredictor) -> None:
        self.record = record
        self._predictor = predictor

    def __repr__(self) -> str:
        masks = "with" if self.has_masks else "without"
        return f"<Bundle of {len(self.classes)} classes, {masks} masks>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the network's outputs."""
        return self.record.classes

    @property
    def has_masks(self) -> bool:
        """Whether predictions come with a mask."""
        return self._predictor.runner.has_masks

    @property
    def mask_classes(self) -> tuple[str, ...]:
        """The names of the mask classes 1, 2, ...; none for masks of one structure."""
        return self._predictor.runner.mask_classes

    @property
    def metrics(self) -> dict[str, dict[str, Interval]]:
        """The recorded scores by split and metric, each with its 95 % interval."""
        return self.record.metrics

    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        heat: bool | str = False,
        kept: bool = False,
        batch_size: int = 16,
    ) -> list[Prediction]:
        """Predict one image or several, and return one prediction for each, in order.

        An image is a path, a PIL image, or an array: H x W (grey) or H x W x C with 1, 3 or 4
        channels, of type bool, uint8 or uint16. A bundle of images with another number of channels
        takes arrays of that number. The path of a folder stands for all images in and below it.
        ``heat`` adds a map of the regions that the label rests on, or that support the class it
        names; ``kept`` adds the positions that a PIM or HERBS module selects. Masks come without
        being asked for. ``batch_size`` images are in memory at once.

        Raises DataError for a path that does not exist, a file that cannot be decoded, or an array
        that is no image.
        """
        return list(self.stream(images, heat=heat, kept=kept, batch_size=batch_size))

    def stream(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        heat: bool | str = False,
        kept: bool = False,
        batch_size: int = 16,
    ) -> Iterator[Prediction]:
        """Yield the predictions of ``predict`` one at a time, for more images than memory holds."""
        if batch_size < 1:
            raise UsageError(f"batch_size={batch_size} was given; give at least 1.")
        view = self.record.config.data
        decoded = (_decode(image, view) for image in _each(images))
        while batch := list(islice(decoded, self._predictor.images_at_once(batch_size))):
            yield from self._predictor.predict_batch(batch, heat=heat, kept=kept)


def load_bundle(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    flips: bool = False,
    runner: RunnerName = "auto",
    precision: Precision = "fp32",
) -> Bundle:
    """Load a bundle, a folder or a .zip, and return it ready to predict.

    ``device`` is auto, cpu, cuda or cuda:N. With ``flips`` each prediction is the mean over the
    image and those mirror images that training used. ``runner`` is torch, onnx (onnxruntime on the
    CPU, about twice as fast there, without heat maps and selected positions), openvino (likewise)
    or auto: torch if it is installed. ``precision``, fp32, fp16 or int8, is that of the graphs; for
    another than fp32, auto is onnx. Every file is compared with its recorded hash first. No
    database is needed.

    Raises UserError if the path is no bundle, a file of it is missing, added or damaged, or it has
    no graph in the precision; UsageError for a device or a runner that this machine does not have.

    >>> bundle = load_bundle("soy.bundle")
    >>> bundle.classes
    ('cultivar_00', 'cultivar_01', 'cultivar_02')
    >>> prediction = bundle.predict("leaf.png")[0]
    >>> prediction.label in bundle.classes
    True
    >>> prediction.mask.shape  # height and width of the image; 255 is structure
    (40, 40)
    """
    with open_verified(Path(path)) as (folder, record):
        predictor = open_predictor(
            folder, record, runner=runner, device=device, flips=flips, pictures=None, precision=precision
        )
        return Bundle(record, predictor)


def _each(images: ImageLike | Iterable[ImageLike]) -> Iterator[Path | Image.Image | npt.NDArray[Any]]:
    """Yield every single image; a folder becomes the files in it."""
    several = images if isinstance(images, Iterable) and not isinstance(images, _SINGLE) else [images]
    for image in several:
        if isinstance(image, str | os.PathLike):
            yield from expand_paths([Path(image)])
        elif isinstance(image, Image.Image | np.ndarray):
            yield image
        else:
            raise UsageError(
                f"cannot predict an object of type {type(image).__name__}; give a path, array or PIL image."
            )


def _decode(image: Path | Image.Image | npt.NDArray[Any], view: DataConfig) -> tuple[Path | None, Pixels]:
    if isinstance(image, Path):
        return image, read_image(image, view)
    if isinstance(image, Image.Image):
        return None, image_of_pil(image, view)
    return None, image_of_array(image, view)
