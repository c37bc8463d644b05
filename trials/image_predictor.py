"""Predict labels, masks, heat maps and selected positions of images, with any runner.

Images are prepared and maps are put back with NumPy and Pillow alone, for torch and onnxruntime
alike.

Shapes: B batch, K classes, H W the original image, h w a map in the network's view.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.data_config import DataConfig
from ..data.fit_image import eval_array, seen_HW
from ..data.images import read_image
from ..data.pixels import Pixels, size_of
from ..errors import DataError, UserError
from .flips import NO_FLIPS, Booster, Flip, boosted, trained_flips
from .geometry import to_original
from .mask_pictures import mask_array
from .predict_windows import Answer, predict_windows
from .prediction import Prediction, expand_paths, heat_class
from .resample import Floats, resize_nearest
from .runner import Outputs, Runner, checked

TOP = 5

# Decoded originals of a batch; 16 photos of 12 megapixels have 576 MB.
_BATCH_BYTES = 128 << 20


class ImagePredictor:
    """A runner, its classes and its view, with an optional booster on its features.

    ``mask_config`` is the view of the masks if it differs from that of the labels, ``config``. With
    ``fit=patch`` a whole image is covered by windows, see ``predict_windows``; with ``fit=whole``
    it passes through the network at its own size. With ``flips``, probabilities and masks are means
    over the image and its mirror images, those that training used; heat maps and selected positions
    come from the original image.
    """

    def __init__(
        self,
        runner: Runner,
        classes: Sequence[str],
        config: DataConfig,
        *,
        mask_config: DataConfig | None = None,
        booster: Booster | None = None,
        flips: bool = False,
    ) -> None:
        self.runner = runner
        self.classes = tuple(classes)
        self.config = config
        self.mask_config = mask_config or config
        self.booster = booster
        self._use_flips = flips
        if runner.num_classes != len(self.classes):
            raise UserError(
                f"{len(self.classes)} class names for a network of {runner.num_classes} classes: give one name a class"
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
        same = self.config.same_view(self.mask_config) and self._flips(self.config) == self._flips(self.mask_config)
        answers = self._answers(pictures, self.config, segment=same, heat=heat, kept=kept)
        if not same and self.runner.has_masks:
            seen = self._answers(pictures, self.mask_config, segment=True, heat=False, kept=False)
            answers = [answer._replace(mask=other.mask) for answer, other in zip(answers, seen, strict=True)]
        return [self._prediction(path, answer) for (path, _), answer in zip(images, answers, strict=True)]

    def _flips(self, view: DataConfig) -> tuple[Flip, ...]:
        return trained_flips(view) if self._use_flips else NO_FLIPS

    def _answers(
        self, images: Sequence[Pixels], view: DataConfig, *, segment: bool, heat: bool | str, kept: bool
    ) -> list[Answer]:
        """Return the network's answers for images in one view."""
        flips, of_class = self._flips(view), heat_class(heat, self.classes)
        # Another view than that of the labels is for masks alone.
        booster = self.booster if view is self.config else None
        if view.fit == "patch":
            run = functools.partial(predict_windows, self.runner, booster=booster, of_class=of_class)
            return [run(image, view, flips=flips, segment=segment, heat=bool(heat), kept=kept) for image in images]
        if view.fit == "whole" and len(images) > 1:
            return [
                answer
                for image in images
                for answer in self._answers([image], view, segment=segment, heat=heat, kept=kept)
            ]
        x_BCHW = np.stack([eval_array(image, view) for image in images])
        output = checked(self.runner.run(x_BCHW, flips=flips, segment=segment, heat=bool(heat), kept=kept))
        probability_BK = output.probability_BN
        if booster is not None:
            probability_BK = boosted(booster, output.features)
        heats: Sequence[Floats | None] = [None] * len(images)
        if output.heat is not None:
            heats = list(output.heat(heat_targets(of_class, probability_BK)))
        rows = zip(images, probability_BK, heats, strict=True)
        return [self._answer(index, output, view, *row) for index, row in enumerate(rows)]

    def _answer(
        self,
        index: int,
        output: Outputs,
        view: DataConfig,
        image: Pixels,
        probability_K: Floats,
        heat_hw: Floats | None,
    ) -> Answer:
        """Return the answer for one image of a batch, with its maps at the image's own size."""
        size, mask, logits_BKhw = size_of(image), None, output.mask_logits_BKhw
        if logits_BKhw is not None:
            # Of maps that are all filled, the background comes first.
            mask = mask_array(to_original(logits_BKhw[index], size, view, fill=-np.inf))
        heat_HW = None if heat_hw is None else to_original(heat_hw, size, view, fill=0.0)
        ranks = output.ranks
        kept = None if ranks is None else tuple(self._rank_image(rank_Bhw[index], image) for rank_Bhw in ranks)
        return Answer(probability_K, mask, heat_HW, kept)

    def _prediction(self, path: Path | None, answer: Answer) -> Prediction:
        # A stable sort keeps the class order of equal probabilities, as argmax does.
        ranking = np.argsort(-answer.probability_K, kind="stable")[:TOP]
        top = [(self.classes[at], float(answer.probability_K[at])) for at in ranking]
        label, probability = top[0]
        heat = None if answer.heat_HW is None else _normalise(answer.heat_HW)
        return Prediction(
            path,
            label,
            probability,
            top,
            answer.mask,
            heat,
            answer.kept,
            self.runner.mask_classes,
            probabilities=dict(zip(self.classes, map(float, answer.probability_K), strict=True)),
        )

    def _rank_image(self, rank_hw: Floats, image: Pixels) -> NDArray[np.uint8]:
        """Return ranks of the view's cells over the original image, with sharp edges."""
        view_HW = resize_nearest(rank_hw, seen_HW(self.config, size_of(image)))
        rank_HW = to_original(view_HW, size_of(image), self.config, fill=0.0)
        return np.rint(rank_HW * 255).astype(np.uint8)


def heat_targets(of_class: int | None, probability_BK: Floats) -> NDArray[np.int64]:
    """Return the class of each image's heat map: the most probable one, or ``of_class``."""
    return probability_BK.argmax(axis=1) if of_class is None else np.full(len(probability_BK), of_class)


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


def _normalise(heat_HW: Floats) -> Floats:
    return heat_HW / peak if (peak := heat_HW.max()) > 0 else np.zeros_like(heat_HW)
