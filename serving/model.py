"""A bundle in memory that answers uploaded photos: class, mask, heat map."""

import base64
import io
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from ..bundles.bundle import open_verified
from ..bundles.open_predictor import RunnerName, open_predictor
from ..bundles.record import BundleRecord
from ..data.images import read_image
from ..data.mask_classes import class_colours
from ..data.pixels import shown
from ..trials.image_predictor import ImagePredictor
from ..trials.mask_pictures import class_shares, mask_picture
from ..trials.overlay import HEAT_COLOURS, MASK_COLOUR, draw_heat, draw_mask
from ..trials.prediction import Prediction
from ..trials.unknown import answer
from .schema import Answer, ClassProbability, MaskClass, ModelFacts, Picture, Score

# Longer side of the photo, the overlay and the heat map; masks keep the size of the photo.
_SIDE = 1600
_QUALITY = 85
_STRUCTURE = "structure"
_NO_MASK = "the bundle has no decoder, so there is no mask."
_NO_HEAT = "heat maps need torch: start the server with --runner torch."


@dataclass(frozen=True)
class Model:
    """A loaded bundle, for one request at a time; ``threshold`` as in ``trials.unknown``."""

    name: str
    record: BundleRecord
    predictor: ImagePredictor
    threshold: float | None

    def answer(self, path: Path, name: str, pictures: Collection[Picture]) -> Answer:
        """Return the prediction for an image file, with the pictures that were asked for.

        Raises DataError, with the path, for a file that cannot be decoded.
        """
        began = time.perf_counter()
        pixels = read_image(path, self.record.config.data)
        heat = "heatmap" in pictures and self.predictor.runner.draws_heat
        (found,) = self.predictor.predict_batch([(path, pixels)], heat=heat)
        photo = shown(pixels)
        drawn = {picture: url for picture in pictures if (url := _drawn(picture, photo, found)) is not None}
        mask = found.mask
        return Answer(
            file=name,
            width=photo.width,
            height=photo.height,
            answer=answer(found.label, found.probability, self.threshold),
            label=found.label,
            probability=round(found.probability, 6),
            threshold=self.threshold,
            classes=[ClassProbability(name=label, probability=round(share, 6)) for label, share in found.top],
            mask_share=None if mask is None else float((mask > 0).mean()),
            mask_shares={} if mask is None else class_shares(mask, found.mask_classes),
            pictures=drawn,
            missing={each: _NO_HEAT if each == "heatmap" else _NO_MASK for each in pictures if each not in drawn},
            seconds=round(time.perf_counter() - began, 3),
        )

    def facts(self, max_bytes: int) -> ModelFacts:
        """Return what the bundle is, for ``GET /api/model``."""
        record, runner = self.record, self.predictor.runner
        names = runner.mask_classes
        colours = class_colours(len(names)) if names else [MASK_COLOUR]
        masks = zip(names or (_STRUCTURE,), colours, strict=True) if runner.has_masks else ()
        return ModelFacts(
            name=self.name,
            bundle=record.record_sha256,
            studies=list(dict.fromkeys(source.study for source in record.sources)),
            encoder=record.config.encoder.name,
            classes=list(record.classes),
            masks=[MaskClass(name=name, colour=_hexadecimal(colour)) for name, colour in masks],
            heat=[_hexadecimal(colour) for colour in HEAT_COLOURS] if runner.draws_heat else [],
            threshold=self.threshold,
            scores=[Score(**row) for row in record.score_rows()],
            licence=record.licence,
            max_bytes=max_bytes,
        )


def load_models(
    bundle: Path, *, copies: int, runner: RunnerName, device: str, min_probability: float | None
) -> list[Model]:
    """Load a bundle ``copies`` times; a network answers one request at a time.

    ``runner`` and ``device`` as in ``open_predictor``. ``min_probability`` replaces the bundle's
    threshold for ``unknown``. Raises UserError for a path that is no bundle, or a damaged one, and
    UsageError for a runner or a device that this machine does not have.
    """
    with open_verified(bundle) as (folder, record):
        predictors = [
            open_predictor(folder, record, runner=runner, device=device, pictures=None) for _ in range(copies)
        ]
    threshold = record.min_probability if min_probability is None else min_probability
    return [Model(bundle.resolve().name, record, predictor, threshold) for predictor in predictors]


def _drawn(picture: Picture, photo: Image.Image, found: Prediction) -> str | None:
    """Return a picture as a data URL; None if the bundle has no such picture."""
    match picture:
        case "photo":
            return _url(_small(photo), "WEBP")
        case "mask" if found.mask is not None:
            return _url(mask_picture(found.mask, found.mask_classes), "PNG")
        case "overlay" if found.mask is not None:
            return _url(_small(draw_mask(photo, found.mask, found.mask_classes)), "WEBP")
        case "heatmap" if found.heat is not None:
            return _url(_small(draw_heat(photo, found.heat)), "WEBP")
    return None


def _small(picture: Image.Image) -> Image.Image:
    return ImageOps.contain(picture, (_SIDE, _SIDE)) if max(picture.size) > _SIDE else picture


def _url(picture: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    picture.save(file, kind, quality=_QUALITY)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _hexadecimal(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
