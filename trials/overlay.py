"""Masks, heat maps and kept positions drawn on the image they were predicted from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from ..data.images import read_image
from ..data.manifest import Sample
from .predict import Prediction, Predictor

# Distinct on green leaves and for red-green-blind readers alike.
_MASK_COLOUR = (255, 0, 200)
_TINT = 0.35
_HEAT_STRENGTH = 0.65
# Stops of a black-red-yellow-white ramp: its lightness rises all the way, unlike jet's.
_RAMP_AT = (0.0, 0.35, 0.7, 1.0)
_RAMP = ((0, 0, 0), (190, 20, 20), (255, 190, 30), (255, 255, 230))
# What the selector dropped is darkened, so that what it kept stands out.
_DROPPED = 0.3
_KEPT_STRENGTH = 0.5
# Stops of a blue-green-yellow ramp for ranks, last to first; lightness rises here too.
_RANK_AT = (0.0, 0.5, 1.0)
_RANK = ((60, 60, 160), (30, 160, 130), (250, 230, 40))
_PANEL = 512  # pixels
_GAP = 4
_TILE = 192  # pixels
_CAPTION = 14
_COLUMNS = 4


def draw_prediction(image: Image.Image, prediction: Prediction, *, mask: bool = True, heat: bool = True) -> Image.Image:
    """The image with what the prediction holds: heat below, mask above. Raises ValueError for another size."""
    drawn = image.convert("RGB")
    if heat and prediction.heat is not None:
        drawn = draw_heat(drawn, prediction.heat)
    if mask and prediction.mask is not None:
        drawn = draw_mask(drawn, prediction.mask)
    return drawn


def draw_mask(image: Image.Image, mask_HW: NDArray[np.uint8]) -> Image.Image:
    """Tint what the mask holds (non-zero) and draw its outline, one pixel wide or more on large images."""
    _check_size(image, mask_HW)
    inside = mask_HW > 0
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    strength_HW = np.where(inside, np.float32(_TINT), np.float32(0))
    strength_HW[_outline(inside, width=max(1, round(max(image.size) / 1000)))] = 1.0
    return _blend(pixels, np.array(_MASK_COLOUR, dtype=np.float32), strength_HW)


def draw_heat(image: Image.Image, heat_HW: NDArray[np.float32]) -> Image.Image:
    """Blend a heat map (0..1) in: the hotter, the more of its colour; where it is zero the image is untouched."""
    _check_size(image, heat_HW)
    heat_HW = np.clip(heat_HW, 0, 1)
    ramp = np.array(_RAMP, dtype=np.float32)
    colour = np.stack([np.interp(heat_HW, _RAMP_AT, ramp[:, channel]) for channel in range(3)], axis=-1)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return _blend(pixels, colour.astype(np.float32), heat_HW * np.float32(_HEAT_STRENGTH))


def draw_kept(image: Image.Image, kept: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """One panel a level, shallow to deep from left to right: yellow where the selector looked first, blue last.

    What it dropped is dark. A panel's long side has at most 512 pixels.
    """
    panels = [_panel(_draw_ranks(image, rank_HW)) for rank_HW in kept]
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, panels[0].height), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index * (panel.width + _GAP), 0))
    return sheet


def sample_sheet(predictor: Predictor, samples: Sequence[Sample], *, heat: bool) -> Image.Image:
    """A sheet of the images ``samples`` with their masks or, if ``heat``, heat maps drawn in.

    Each tile says the label and, where it is another one, what the network takes the image for.
    """
    rows = -(-len(samples) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * (_TILE + _CAPTION)), "white")
    predictions = predictor.predict([sample.image for sample in samples], heat=heat)
    for index, (sample, prediction) in enumerate(zip(samples, predictions, strict=True)):
        corner = (index % _COLUMNS * _TILE, index // _COLUMNS * (_TILE + _CAPTION))
        _draw_tile(sheet, corner, sample, prediction)
    return sheet


def _draw_ranks(image: Image.Image, rank_HW: NDArray[np.uint8]) -> Image.Image:
    _check_size(image, rank_HW)
    share_HW = rank_HW / np.float32(255)
    ramp = np.array(_RANK, dtype=np.float32)
    colour = np.stack([np.interp(share_HW, _RANK_AT, ramp[:, channel]) for channel in range(3)], axis=-1)
    kept_HW1 = (rank_HW > 0)[..., None]
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return _blend(
        np.where(kept_HW1, pixels, pixels * np.float32(_DROPPED)),
        colour.astype(np.float32),
        np.where(rank_HW > 0, np.float32(_KEPT_STRENGTH), np.float32(0)),
    )


def _panel(drawn: Image.Image) -> Image.Image:
    return ImageOps.contain(drawn, (_PANEL, _PANEL)) if max(drawn.size) > _PANEL else drawn


def _draw_tile(sheet: Image.Image, corner: tuple[int, int], sample: Sample, prediction: Prediction) -> None:
    drawn = draw_prediction(read_image(sample.image), prediction)
    sheet.paste(ImageOps.contain(drawn, (_TILE - 4, _TILE - 4)), corner)
    right = prediction.label == sample.label
    text = sample.label if right else f"{sample.label}, not {prediction.label}"
    place = (corner[0] + 2, corner[1] + _TILE)
    ImageDraw.Draw(sheet).text(place, text[:32], fill="darkgreen" if right else "darkred")


def _outline(inside: NDArray[np.bool_], *, width: int) -> NDArray[np.bool_]:
    """The mask's pixels that have a neighbour outside it within ``width`` pixels."""
    picture = Image.fromarray(inside.astype(np.uint8) * np.uint8(255))
    eroded = np.asarray(picture.filter(ImageFilter.MinFilter(2 * width + 1))) > 0
    return inside & ~eroded


def _blend(pixels: NDArray[np.float32], colour: NDArray[np.float32], strength_HW: NDArray[np.float32]) -> Image.Image:
    strength = strength_HW[..., None]
    mixed = pixels * (1 - strength) + colour * strength
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _check_size(image: Image.Image, array: NDArray[np.generic]) -> None:
    if array.shape != (image.height, image.width):
        given = f"{array.shape[1]}x{array.shape[0]}"
        raise ValueError(f"a map of {given} does not fit an image of {image.width}x{image.height}")
