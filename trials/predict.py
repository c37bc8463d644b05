"""Predict labels, masks, heat maps and selected positions of images.

Shapes: B batch, K classes, H W the original image, h w a map in the network's view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..data.data_config import DataConfig
from ..data.images import read_image
from ..data.scan_folders import IMAGE_EXTENSIONS
from ..data.transforms import eval_image
from ..errors import DataError, UserError
from ..models.network import MultitaskNetwork
from ..models.plugin import PluginOutput
from .booster import Booster
from .flips import NO_FLIPS, average_flips, trained_flips
from .geometry import to_original
from .greedy_ensemble import LevelRecorder, mean_heat

TOP = 5


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image; its maps have the upright image's height and width.

    ``path`` is None for an image that was not read from a file. ``top`` lists the most probable
    classes, best first. ``mask`` is 0 or 255, ``heat`` 0..1. ``kept`` has a map for each level that
    the plug-in module selects from, shallow to deep: 255 at the position selected first, falling
    with the rank, 0 where none was selected.
    """

    path: Path | None
    label: str
    probability: float
    top: list[tuple[str, float]]
    mask: NDArray[np.uint8] | None
    heat: NDArray[np.float32] | None
    kept: tuple[NDArray[np.uint8], ...] | None = None


class _Maps(NamedTuple):
    """The outputs for a batch in the network's view, on the CPU.

    The heat's scale is arbitrary; ``kept`` is in 0..1.
    """

    probability_BK: NDArray[np.float32]
    mask_logits_B1hw: Tensor | None
    heat_Bhw: Tensor | None
    kept: tuple[Tensor, ...] | None


class Predictor:
    """A network, its classes and its view, with an optional booster on its features.

    With ``flips``, probabilities and masks are means over the image and its mirror images, those
    that training used; heat maps and selected positions come from the original image.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        classes: Sequence[str],
        config: DataConfig,
        *,
        booster: Booster | None = None,
        device: torch.device | None = None,
        flips: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.classes = tuple(classes)
        self.config = config
        self.booster = booster
        self.flips = trained_flips(config) if flips else NO_FLIPS
        if network.num_classes != len(self.classes):
            raise UserError(
                f"{len(self.classes)} class names for a network of {network.num_classes} classes: give one name a class"
            )

    def predict(
        self, paths: Sequence[Path], *, batch_size: int = 16, heat: bool = False, kept: bool = False
    ) -> Iterator[Prediction]:
        """Predict images and folders of images in order; masks come if the network has a decoder.

        Raises DataError for a missing path, a folder without images or a file that cannot be
        decoded.
        """
        for found in self.predict_images(expand_paths(paths), batch_size=batch_size, heat=heat, kept=kept):
            if isinstance(found, DataError):
                raise found
            yield found

    def predict_images(
        self, paths: Sequence[Path], *, batch_size: int = 16, heat: bool = False, kept: bool = False
    ) -> Iterator[Prediction | DataError]:
        """Yield each image file's prediction in order, or the error if it cannot be decoded."""
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            pictures = [_read(path, self.config) for path in batch]
            decoded = [
                (path, image) for path, image in zip(batch, pictures, strict=True) if isinstance(image, Image.Image)
            ]
            predictions = iter(self.predict_batch(decoded, heat=heat, kept=kept))
            for picture in pictures:
                yield picture if isinstance(picture, DataError) else next(predictions)

    def predict_batch(
        self,
        images: Sequence[tuple[Path | None, Image.Image]],
        *,
        heat: bool = False,
        kept: bool = False,
    ) -> list[Prediction]:
        """Predict upright RGB images in one pass through the network.

        Each image comes with its path, or None.
        """
        if not images:
            return []
        x_BCHW = torch.stack([eval_image(image, self.config) for _, image in images])
        maps = self._maps(x_BCHW.to(self.device), heat=heat, kept=kept)
        return [self._prediction(path, image, maps, index) for index, (path, image) in enumerate(images)]

    def _maps(self, x_BCHW: Tensor, *, heat: bool, kept: bool) -> _Maps:
        with torch.no_grad(), LevelRecorder(self.network, enabled=heat) as recorder:
            output = average_flips(self.network, x_BCHW, flips=self.flips)
        probability_BK = output.class_probabilities(self.booster)
        heat_Bhw = None
        if heat:
            class_B = torch.from_numpy(probability_BK.argmax(axis=1)).to(self.device)
            heat_Bhw = mean_heat(recorder, class_B).cpu()
        plugin = output.unflipped.plugin
        mask_logits = output.mask_logits_B1hw
        return _Maps(
            probability_BK,
            None if mask_logits is None else mask_logits.float().cpu(),
            heat_Bhw,
            rank_maps(plugin) if kept and plugin is not None else None,
        )

    def _prediction(self, path: Path | None, image: Image.Image, maps: _Maps, index: int) -> Prediction:
        probability_K = maps.probability_BK[index]
        # A stable sort keeps the class order of equal probabilities, as argmax does.
        ranking = np.argsort(-probability_K, kind="stable")[:TOP]
        top = [(self.classes[at], float(probability_K[at])) for at in ranking]
        mask = heat = kept = None
        if maps.mask_logits_B1hw is not None:
            logits_HW = to_original(maps.mask_logits_B1hw[index, 0], image.size, self.config, fill=-torch.inf)
            mask = (logits_HW > 0).numpy().astype(np.uint8) * np.uint8(255)
        if maps.heat_Bhw is not None:
            heat_HW = to_original(maps.heat_Bhw[index], image.size, self.config, fill=0.0)
            heat = _normalise(heat_HW).numpy()
        if maps.kept is not None:
            kept = tuple(self._rank_image(rank_Bhw[index], image) for rank_Bhw in maps.kept)
        label, probability = top[0]
        return Prediction(path, label, probability, top, mask, heat, kept)

    def _rank_image(self, rank_hw: Tensor, image: Image.Image) -> NDArray[np.uint8]:
        """Return ranks of the view's cells over the original image, with sharp edges."""
        view_HW = F.interpolate(rank_hw[None, None], self.config.size_HW, mode="nearest-exact")[0, 0]
        rank_HW = to_original(view_HW, image.size, self.config, fill=0.0)
        return (rank_HW * 255).round().numpy().astype(np.uint8)


def rank_maps(output: PluginOutput) -> tuple[Tensor, ...]:
    """Return the ranks of selected positions, level by level, ``(B, h, w)`` on the CPU.

    The position of rank r, counted from 0, of K selected ones has the value (K - r) / K; a dropped
    position has 0.
    """
    maps = []
    for kept_BK, (height, width) in zip(output.kept, output.sizes, strict=True):
        count = kept_BK.shape[1]
        rank_BS = torch.zeros(len(kept_BK), height * width)
        share_BK = (torch.arange(count, 0, -1) / count).expand(len(kept_BK), count)
        maps.append(rank_BS.scatter(1, kept_BK.cpu(), share_BK).view(-1, height, width))
    return tuple(maps)


def _read(path: Path, config: DataConfig) -> Image.Image | DataError:
    try:
        return read_image(path, config.white)
    except DataError as error:
        return error


def _normalise(heat_HW: Tensor) -> Tensor:
    peak = heat_HW.max()
    return heat_HW / peak if peak > 0 else torch.zeros_like(heat_HW)


def expand_paths(paths: Sequence[Path], *, exclude: Sequence[Path] = ()) -> list[Path]:
    """Return the image files of ``paths``: files as given, folders searched recursively.

    Images of a folder are sorted; hidden files and folders are skipped. So are folders in
    ``exclude`` below a given folder; one that is itself given is read. Raises DataError for a path
    that does not exist or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            found += _images_below(path, exclude)
        else:
            raise DataError(f"{path} does not exist: give images or folders of images")
    return found


def _images_below(folder: Path, exclude: Sequence[Path]) -> list[Path]:
    root = folder.resolve()
    # A folder that contains ``folder`` is not excluded: the caller asked for ``folder``.
    excluded = [place for other in exclude if root in (place := other.resolve()).parents]
    images = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_EXTENSIONS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not any((root / path.relative_to(folder)).is_relative_to(place) for place in excluded)
    ]
    if not images:
        kinds = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise DataError(f"{folder} has no images ({kinds}): give a folder with images")
    return images
