"""Draw masks, heat maps and selected positions on images, and sheets of predicted samples.

Shapes: H W the image's size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from ..data.images import read_image
from ..data.manifest import Sample
from ..data.mask_classes import class_colours
from ..data.pixels import shown
from .image_predictor import ImagePredictor
from .prediction import Prediction

Colour = tuple[int, int, int]

# Cyan in a dark casing is distinct on leaves, retinas and backgrounds of any colour, also for
# readers with red-green blindness.
MASK_COLOUR = (0, 229, 255)
_CASING = (0, 34, 44)
# A contour of two pixels for 800 pixels of the longer side, half of it casing.
_CONTOUR = 400
_HEAT_STRENGTH = 0.7
# A ramp from violet over red and orange to yellow: lightness rises throughout, unlike jet's.
HEAT_STOPS = (0.0, 0.35, 0.7, 1.0)
HEAT_COLOURS = ((48, 10, 96), (176, 36, 96), (240, 130, 30), (255, 230, 90))
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
_LEVELS = np.linspace(0, 1, 256)


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
    """Draw the contour of the mask (non-zero) around it; the structure itself stays as it is.

    With several mask classes, each has a contour of its own colour. A contour has half a pixel for
    200 pixels of the image's longer side, and at least one.
    """
    _check_size(image, mask_HW)
    width = max(1, round(max(image.size) / _CONTOUR))
    drawn = image.convert("RGB")
    colours = class_colours(len(classes)) if classes else [MASK_COLOUR]
    for number, colour in enumerate(colours, start=1):
        inside = mask_HW == number if classes else mask_HW > 0
        if not inside.any():
            continue
        near = _grown(inside, (width + 1) // 2)
        drawn.paste(_CASING, mask=Image.fromarray(_grown(near, width // 2) & ~near))
        drawn.paste(colour, mask=Image.fromarray(near & ~inside))
    return drawn


def draw_heat(image: Image.Image, heat_HW: NDArray[np.float32]) -> Image.Image:
    """Blend in a heat map (0..1): opacity grows with heat, and zero leaves the image unchanged."""
    _check_size(image, heat_HW)
    return blend_heat(image, Image.fromarray(np.rint(np.clip(heat_HW, 0, 1) * 255).astype(np.uint8)))


def blend_heat(image: Image.Image, heat: Image.Image) -> Image.Image:
    """Blend in a heat map of the same size whose grey values 0..255 stand for 0..1."""
    colours = Image.frombytes("P", heat.size, heat.tobytes())
    colours.putpalette(_table(HEAT_STOPS, HEAT_COLOURS).tobytes())
    opacity = heat.point([round(_HEAT_STRENGTH * level) for level in range(256)])
    return Image.composite(colours.convert("RGB"), image.convert("RGB"), opacity)


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


def sample_sheet(predictor: ImagePredictor, samples: Sequence[Sample], *, heat: bool) -> Image.Image:
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
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    colours = _table(_RANK_STOPS, _RANK_COLOURS)[rank_HW]
    marked = pixels * (1 - _KEPT_STRENGTH) + colours * _KEPT_STRENGTH
    drawn = np.where(rank_HW[..., None] > 0, marked, pixels * _DROPPED_BRIGHTNESS)
    return Image.fromarray(np.rint(drawn).astype(np.uint8))


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


def _grown(inside_HW: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the mask with all pixels at most ``width`` rows and columns away.

    A square grows along one axis after the other, and each step may be twice what it has, plus one:
    ten pixels take three steps.
    """
    grown, reached = inside_HW.copy(), 0
    while reached < width:
        step = min(2 * reached + 1, width - reached)
        rows = grown.copy()
        rows[step:] |= grown[:-step]
        rows[:-step] |= grown[step:]
        grown = rows.copy()
        grown[:, step:] |= rows[:, :-step]
        grown[:, :-step] |= rows[:, step:]
        reached += step
    return grown


def _table(stops: Sequence[float], colours: Sequence[Colour]) -> NDArray[np.uint8]:
    """Return the colours of 256 levels on a ramp, ``(256, 3)``."""
    ramp = np.array(colours, dtype=np.float32)
    columns = [np.interp(_LEVELS, stops, ramp[:, at]) for at in range(3)]
    return np.rint(np.stack(columns, axis=-1)).astype(np.uint8)


def _check_size(image: Image.Image, array: NDArray[np.generic]) -> None:
    if array.shape != (image.height, image.width):
        given = f"{array.shape[1]}x{array.shape[0]}"
        raise ValueError(f"a map of {given} does not fit an image of {image.width}x{image.height}")
