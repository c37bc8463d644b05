"""Draw masks, heat maps and selected positions on images, and sheets of predicted samples."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import minimum_filter

from ..data.images import read_image
from ..data.manifest import Sample
from ..data.mask_classes import class_colours
from ..data.pixels import shown
from .predict import Prediction, Predictor

# Distinct on green leaves, also for readers with red-green blindness.
MASK_COLOUR = (255, 0, 200)
_TINT = 0.35
_HEAT_STRENGTH = 0.65
# Stops of a black-red-yellow-white ramp: lightness rises throughout, unlike jet's.
_HEAT_STOPS = (0.0, 0.35, 0.7, 1.0)
HEAT_COLOURS = ((0, 0, 0), (190, 20, 20), (255, 190, 30), (255, 255, 230))
# Dropped positions are darkened, so that selected ones stand out.
_DROPPED_BRIGHTNESS = 0.3
_KEPT_STRENGTH = 0.5
# Stops of a blue-green-yellow ramp for ranks, last to first; lightness rises throughout.
_RANK_STOPS = (0.0, 0.5, 1.0)
_RANK_COLOURS = ((60, 60, 160), (30, 160, 130), (250, 230, 40))
_PANEL_SIZE = 512  # pixels
_GAP = 4
_TILE_SIZE = 192  # pixels
_CAPTION_HEIGHT = 14
_COLUMNS = 4
# Rows that are painted at once, so that memory does not grow with the image.
_BAND = 256


def draw_prediction(image: Image.Image, prediction: Prediction, *, mask: bool = True, heat: bool = True) -> Image.Image:
    """Draw the prediction on the image, the mask above the heat map.

    Raises ValueError if a map has another size than the image.
    """
    drawn = image.convert("RGB")
    if heat and prediction.heat is not None:
        drawn = draw_heat(drawn, prediction.heat)
    if mask and prediction.mask is not None:
        drawn = draw_mask(drawn, prediction.mask, prediction.mask_classes)
    return drawn


def draw_mask(image: Image.Image, mask_HW: NDArray[np.uint8], classes: Sequence[str] = ()) -> Image.Image:
    """Tint the mask (non-zero) and draw its outline, one pixel wide or more on large images.

    With several mask classes, each has its own colour and outline; see ``add_legend``.
    """
    _check_size(image, mask_HW)
    colours = np.array([MASK_COLOUR, *class_colours(len(classes))], dtype=np.float32)
    number = mask_HW if classes else np.zeros_like(mask_HW)
    inside = mask_HW > 0
    width = max(1, round(max(image.size) / 1000))
    outline = np.zeros_like(inside) if classes else _outline(inside, width=width)
    for index in range(1, len(classes) + 1):
        outline |= _outline(mask_HW == index, width=width)

    def paint(pixels: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        strength = np.where(inside[rows], np.float32(_TINT), np.float32(0))
        strength[outline[rows]] = 1.0
        return _mix(pixels, colours[number[rows]], strength)

    return _paint(image, paint)


def add_legend(drawn: Image.Image, classes: Sequence[str]) -> Image.Image:
    """Return the picture with the colours and names of the mask classes on a strip below it."""
    whole = Image.new("RGB", (drawn.width, drawn.height + _CAPTION_HEIGHT * len(classes)), "white")
    whole.paste(drawn, (0, 0))
    pen = ImageDraw.Draw(whole)
    for row, (name, colour) in enumerate(zip(classes, class_colours(len(classes)), strict=True)):
        top = drawn.height + row * _CAPTION_HEIGHT
        pen.rectangle((2, top + 2, _CAPTION_HEIGHT - 3, top + _CAPTION_HEIGHT - 3), fill=colour)
        pen.text((_CAPTION_HEIGHT + 2, top), name, fill="black")
    return whole


def draw_heat(image: Image.Image, heat_HW: NDArray[np.float32]) -> Image.Image:
    """Blend in a heat map (0..1): opacity grows with heat, and zero leaves the image unchanged."""
    _check_size(image, heat_HW)

    def paint(pixels: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        heat = np.clip(heat_HW[rows], 0, 1)
        return _mix(pixels, _ramp(heat, _HEAT_STOPS, HEAT_COLOURS), heat * np.float32(_HEAT_STRENGTH))

    return _paint(image, paint)


def draw_kept(image: Image.Image, kept: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """Draw one panel per level, shallow to deep, with the positions that the selector kept.

    Yellow marks the positions of the first ranks, blue the last; dropped positions are dark. The
    long side of a panel has at most 512 pixels.
    """
    panels = [_shrink(_draw_ranks(image, rank_HW)) for rank_HW in kept]
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, panels[0].height), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index * (panel.width + _GAP), 0))
    return sheet


def sample_sheet(predictor: Predictor, samples: Sequence[Sample], *, heat: bool) -> Image.Image:
    """Return a contact sheet of ``samples`` with their masks or, if ``heat``, heat maps.

    Each caption gives the label and, if it differs, the predicted label.
    """
    rows = -(-len(samples) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE_SIZE, rows * (_TILE_SIZE + _CAPTION_HEIGHT)), "white")
    predictions = predictor.predict([sample.image for sample in samples], heat=heat)
    for index, (sample, prediction) in enumerate(zip(samples, predictions, strict=True)):
        corner = (index % _COLUMNS * _TILE_SIZE, index // _COLUMNS * (_TILE_SIZE + _CAPTION_HEIGHT))
        image = shown(read_image(sample.image, predictor.config))
        _draw_tile(sheet, corner, image, sample, prediction)
    return sheet


def _draw_ranks(image: Image.Image, rank_HW: NDArray[np.uint8]) -> Image.Image:
    _check_size(image, rank_HW)

    def paint(pixels: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        kept = rank_HW[rows] > 0
        shown = np.where(kept[..., None], pixels, pixels * np.float32(_DROPPED_BRIGHTNESS))
        colour = _ramp((rank_HW[rows] / 255).astype(np.float32), _RANK_STOPS, _RANK_COLOURS)
        return _mix(shown, colour, np.where(kept, np.float32(_KEPT_STRENGTH), np.float32(0)))

    return _paint(image, paint)


def _shrink(drawn: Image.Image) -> Image.Image:
    return ImageOps.contain(drawn, (_PANEL_SIZE, _PANEL_SIZE)) if max(drawn.size) > _PANEL_SIZE else drawn


def _draw_tile(
    sheet: Image.Image, corner: tuple[int, int], image: Image.Image, sample: Sample, prediction: Prediction
) -> None:
    drawn = draw_prediction(image, prediction)
    sheet.paste(ImageOps.contain(drawn, (_TILE_SIZE - 4, _TILE_SIZE - 4)), corner)
    correct = prediction.label == sample.label
    text = sample.label if correct else f"{sample.label}, not {prediction.label}"
    origin = (corner[0] + 2, corner[1] + _TILE_SIZE)
    ImageDraw.Draw(sheet).text(origin, text[:32], fill="darkgreen" if correct else "darkred")


def _outline(inside: NDArray[np.bool_], *, width: int) -> NDArray[np.bool_]:
    """Return the mask's pixels that have a neighbour outside it within ``width`` pixels."""
    return inside & ~minimum_filter(inside, size=2 * width + 1, mode="nearest")


def _paint(image: Image.Image, paint: Callable[[NDArray[np.float32], slice], NDArray[np.float32]]) -> Image.Image:
    """Return the image with its pixels changed by ``paint``, a band of rows at a time."""
    drawn = np.array(image.convert("RGB"))
    for top in range(0, len(drawn), _BAND):
        rows = slice(top, top + _BAND)
        drawn[rows] = np.rint(paint(drawn[rows].astype(np.float32), rows))
    return Image.fromarray(drawn)


def _ramp(
    share_HW: NDArray[np.float32], stops: Sequence[float], colours: Sequence[tuple[int, int, int]]
) -> NDArray[np.float32]:
    """Return the colours of shares 0..1 on a ramp, ``(H, W, 3)``."""
    ramp = np.array(colours, dtype=np.float32)
    return np.stack([np.interp(share_HW, stops, ramp[:, at]) for at in range(3)], axis=-1).astype(np.float32)


def _mix(
    pixels: NDArray[np.float32], colour: NDArray[np.float32], strength_HW: NDArray[np.float32]
) -> NDArray[np.float32]:
    strength = strength_HW[..., None]
    return pixels * (1 - strength) + colour * strength


def _check_size(image: Image.Image, array: NDArray[np.generic]) -> None:
    if array.shape != (image.height, image.width):
        given = f"{array.shape[1]}x{array.shape[0]}"
        raise ValueError(f"a map of {given} does not fit an image of {image.width}x{image.height}")
