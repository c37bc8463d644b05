"""Predict labels, masks, heat maps and selected positions of images.

Shapes: B batch, K classes, H W the original image, h w a map in the network's view.
"""

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..data.data_config import DataConfig
from ..data.images import read_image
from ..data.left_out import describe_left_out
from ..data.pixels import Pixels, size_of
from ..data.scan_folders import IMAGE_EXTENSIONS
from ..data.transforms import eval_image, seen_HW
from ..errors import DataError, UserError
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from .booster import Booster
from .features import evaluation_view
from .flips import NO_FLIPS, Flip, average_flips, trained_flips
from .geometry import to_original
from .greedy_ensemble import LevelRecorder, mean_heat
from .heat import heat_class, heat_targets
from .mask_pictures import mask_array
from .predict_windows import Answer, predict_windows, rank_maps

log = logging.getLogger(__name__)

TOP = 5

# Decoded originals of a batch; 16 photos of 12 megapixels have 576 MB.
_BATCH_BYTES = 128 << 20


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image; its maps have the upright image's height and width.

    ``path`` is None for an image that was not read from a file. ``top`` lists the most probable
    classes, best first. ``mask`` is 0 or 255; with several ``mask_classes`` it is the number of the
    class, from 1, and 0 for the background. ``heat`` is 0..1. ``kept`` has a map for each level
    that the plug-in module selects from, shallow to deep: 255 at the position selected first,
    falling with the rank, 0 where none was selected. ``pixels`` is the image, if it was asked for.
    """

    path: Path | None
    label: str
    probability: float
    top: list[tuple[str, float]]
    mask: NDArray[np.uint8] | None
    heat: NDArray[np.float32] | None
    kept: tuple[NDArray[np.uint8], ...] | None = None
    mask_classes: tuple[str, ...] = ()
    pixels: Pixels | None = field(default=None, repr=False)


class Predictor:
    """A network, its classes and its view, with an optional booster on its features.

    ``mask_config`` is the view of the masks if it differs from that of the labels, ``config``. With
    ``fit=patch`` a whole image is covered by windows, see ``predict_windows``; with ``fit=whole``
    it passes through the network at its own size. With ``flips``, probabilities and masks are means
    over the image and its mirror images, those that training used; heat maps and selected positions
    come from the original image.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        classes: Sequence[str],
        config: DataConfig,
        *,
        mask_config: DataConfig | None = None,
        booster: Booster | None = None,
        device: torch.device | None = None,
        flips: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = place(network, self.device).eval()
        self.classes = tuple(classes)
        self.config = config
        self.mask_config = mask_config or config
        self.booster = booster
        self._use_flips = flips
        if network.num_classes != len(self.classes):
            raise UserError(
                f"{len(self.classes)} class names for a network of {network.num_classes} classes: give one name a class"
            )

    def predict(
        self, paths: Sequence[Path], *, batch_size: int = 16, heat: bool | str = False, kept: bool = False
    ) -> Iterator[Prediction]:
        """Predict images and folders of images in order; masks come if the network has a decoder.

        ``heat`` asks for heat maps, of the answer or of the class that it names. Raises DataError
        for a missing path, a folder without images or a file that cannot be decoded.
        """
        for found in self.predict_images(expand_paths(paths), batch_size=batch_size, heat=heat, kept=kept):
            if isinstance(found, DataError):
                raise found
            yield found

    def predict_images(
        self,
        paths: Sequence[Path],
        *,
        batch_size: int = 16,
        heat: bool | str = False,
        kept: bool = False,
        pixels: bool = False,
    ) -> Iterator[Prediction | DataError]:
        """Yield each image file's prediction in order, or the error if it cannot be decoded.

        With ``pixels`` each prediction has its image, which need not be decoded again to draw on.
        """
        for batch in _batches(paths, self.config, self.images_at_once(batch_size)):
            decoded = [(path, image) for path, image in batch if isinstance(image, np.ndarray)]
            predictions = iter(self.predict_batch(decoded, heat=heat, kept=kept))
            for _, picture in batch:
                if isinstance(picture, DataError):
                    yield picture
                else:
                    yield replace(next(predictions), pixels=picture if pixels else None)

    def images_at_once(self, batch_size: int) -> int:
        """Return how many images to decode at once: one if they keep their sizes, maybe large."""
        views = (self.config, self.mask_config)
        return 1 if any(view.one_at_a_time for view in views) else batch_size

    def predict_batch(
        self,
        images: Sequence[tuple[Path | None, Pixels]],
        *,
        heat: bool | str = False,
        kept: bool = False,
    ) -> list[Prediction]:
        """Predict upright images, in one pass through the network for each view.

        Each image comes with its path, or None.
        """
        if not images:
            return []
        pictures = [image for _, image in images]
        same = self._seen(self.config) == self._seen(self.mask_config)
        answers = self._answers(pictures, self.config, segment=same, heat=heat, kept=kept)
        if not same and self.network.decoder is not None:
            seen = self._answers(pictures, self.mask_config, segment=True, heat=False, kept=False)
            answers = [answer._replace(mask=other.mask) for answer, other in zip(answers, seen, strict=True)]
        return [self._prediction(path, answer) for (path, _), answer in zip(images, answers, strict=True)]

    def _seen(self, view: DataConfig) -> tuple[dict[str, Any], tuple[Flip, ...]]:
        """Return what decides how the network sees an image in a view."""
        return evaluation_view(view), trained_flips(view) if self._use_flips else NO_FLIPS

    def _answers(
        self, images: Sequence[Pixels], view: DataConfig, *, segment: bool, heat: bool | str, kept: bool
    ) -> list[Answer]:
        """Return the network's answers for images in one view."""
        _, flips = self._seen(view)
        if view.fit == "patch":
            run = functools.partial(predict_windows, self.network, booster=self.booster, device=self.device)
            of_class = heat_class(heat, self.classes)
            run = functools.partial(run, flips=flips, segment=segment, heat=bool(heat), kept=kept, of_class=of_class)
            return [run(image, view) for image in images]
        if view.fit == "whole" and len(images) > 1:
            return [
                answer
                for image in images
                for answer in self._answers([image], view, segment=segment, heat=heat, kept=kept)
            ]
        x_BCHW = torch.stack([eval_image(image, view) for image in images]).to(self.device)
        with torch.no_grad(), LevelRecorder(self.network, enabled=bool(heat)) as recorder:
            output = average_flips(self.network, x_BCHW, flips=flips, segment=segment).checked()
        probability_BK = output.class_probabilities(self.booster)
        heats: Sequence[Tensor | None] = [None] * len(images)
        if heat:
            class_B = heat_targets(heat, self.classes, probability_BK).to(self.device)
            heats = list(mean_heat(recorder, class_B).cpu())
        plugin = output.unflipped.plugin
        ranks = rank_maps(plugin) if kept and plugin is not None else None
        logits_B1hw = output.mask_logits_B1hw
        answers = []
        for index, image in enumerate(images):
            mask = None if logits_B1hw is None else self._mask(logits_B1hw[index].float().cpu(), image, view)
            seen = None if ranks is None else tuple(self._rank_image(rank_Bhw[index], image) for rank_Bhw in ranks)
            heat_hw = heats[index]
            heat_HW = None if heat_hw is None else to_original(heat_hw, size_of(image), view, fill=0.0)
            answers.append(Answer(probability_BK[index], mask, heat_HW, seen))
        return answers

    def _mask(self, logits_Khw: Tensor, image: Pixels, view: DataConfig) -> NDArray[np.uint8]:
        # Of maps that are all filled, the background comes first.
        return mask_array(to_original(logits_Khw, size_of(image), view, fill=-torch.inf))

    def _prediction(self, path: Path | None, answer: Answer) -> Prediction:
        # A stable sort keeps the class order of equal probabilities, as argmax does.
        ranking = np.argsort(-answer.probability_K, kind="stable")[:TOP]
        top = [(self.classes[at], float(answer.probability_K[at])) for at in ranking]
        label, probability = top[0]
        heat = None if answer.heat_HW is None else _normalise(answer.heat_HW).numpy()
        mask_classes = self.network.mask_classes
        return Prediction(path, label, probability, top, answer.mask, heat, answer.kept, mask_classes)

    def _rank_image(self, rank_hw: Tensor, image: Pixels) -> NDArray[np.uint8]:
        """Return ranks of the view's cells over the original image, with sharp edges."""
        view_HW = F.interpolate(rank_hw[None, None], seen_HW(self.config, size_of(image)), mode="nearest-exact")[0, 0]
        rank_HW = to_original(view_HW, size_of(image), self.config, fill=0.0)
        return (rank_HW * 255).round().numpy().astype(np.uint8)


def _batches(
    paths: Sequence[Path], config: DataConfig, batch_size: int
) -> Iterator[list[tuple[Path, Pixels | DataError]]]:
    """Yield decoded images in batches that end when they hold ``_BATCH_BYTES`` or all images."""
    batch: list[tuple[Path, Pixels | DataError]] = []
    held = 0
    for path in paths:
        picture = _read(path, config)
        batch.append((path, picture))
        held += 0 if isinstance(picture, DataError) else picture.nbytes
        if len(batch) == batch_size or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _read(path: Path, config: DataConfig) -> Pixels | DataError:
    try:
        return read_image(path, config)
    except DataError as error:
        return error


def _normalise(heat_HW: Tensor) -> Tensor:
    return heat_HW / peak if (peak := heat_HW.max()) > 0 else torch.zeros_like(heat_HW)


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
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not any((root / path.relative_to(folder)).is_relative_to(place) for place in excluded)
    ]
    images = [path for path in files if path.suffix.lower() in IMAGE_EXTENSIONS]
    if images and (remark := describe_left_out(files)):
        log.warning("%s: %s", folder, remark)
    if not images:
        kinds = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise DataError(f"{folder} has no images ({kinds}): give a folder with images")
    return images
