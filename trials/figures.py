"""Pictures of predictions for people: enlarged, with a caption, and a legend or a colour bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..data.mask_classes import class_colours
from .overlay import MASK_COLOUR, Colour, blend_heat, draw_heat, draw_mask

# Small images are enlarged by a whole number, so that contours are thin beside their pixels.
_SIDE = 800
_INK, _SOFT, _GREY = (23, 33, 27), (85, 98, 90), (150, 150, 150)
_BAR = 0.22  # of the width


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a colour and its meaning."""

    text: str
    colour: Colour


def mask_figure(
    image: Image.Image, mask_HW: NDArray[np.uint8], classes: Sequence[str] = (), *, caption: str
) -> Image.Image:
    """Return the image with the contours of its mask, the caption, and the share of each class."""
    zoom = _zoom(image)
    large_HW = mask_HW.repeat(zoom, axis=0).repeat(zoom, axis=1) if zoom > 1 else mask_HW
    counts = np.bincount(mask_HW.ravel(), minlength=len(classes) + 1)[1:] if classes else [np.count_nonzero(mask_HW)]
    names = [
        f"{name} {100 * count / mask_HW.size:.1f} %" for name, count in zip(classes or ("mask",), counts, strict=False)
    ]
    return add_strip(draw_mask(_enlarged(image, zoom), large_HW, classes), caption, mask_keys(classes, names))


def heat_figure(image: Image.Image, heat_HW: NDArray[np.float32], *, caption: str, label: str) -> Image.Image:
    """Return the image with the heat map of a class, the caption, and a colour bar."""
    zoom = _zoom(image)
    if zoom > 1:
        heat_HW = np.asarray(Image.fromarray(heat_HW).resize((image.width * zoom, image.height * zoom)))
    return _add_bar(draw_heat(_enlarged(image, zoom), heat_HW), caption, label)


def mask_keys(classes: Sequence[str], names: Sequence[str] = ()) -> list[Key]:
    """Return the legend of a mask; ``names`` replace the names of its classes."""
    colours = class_colours(len(classes)) if classes else [MASK_COLOUR]
    return [Key(name, colour) for name, colour in zip(names or classes, colours, strict=True)]


def add_strip(drawn: Image.Image, caption: str, keys: Sequence[Key]) -> Image.Image:
    """Return the picture with a caption and a legend on a strip below it."""
    font = _font(drawn)
    line = _line(font)
    rows = _rows(keys, font, drawn.width - line)
    whole, pen, top = _with_strip(drawn, line, (1 if caption else 0) + len(rows))
    if caption:
        pen.text((line // 2, top), _fitted(caption, font, drawn.width - line), _INK, font)
        top += line
    for row in rows:
        left = line // 2
        for key in row:
            pen.rectangle((left, top + 2, left + font.size - 2, top + font.size), key.colour, _SOFT)
            text = _fitted(key.text, font, drawn.width - left - line)
            pen.text((left + 1.4 * font.size, top), text, _SOFT, font)
            left += round(font.getlength(text) + 2.6 * font.size)
        top += line
    return whole


def _add_bar(drawn: Image.Image, caption: str, label: str) -> Image.Image:
    """Return the picture with a caption and the colour bar of a heat map on a strip below it."""
    font = _font(drawn)
    line = _line(font)
    whole, pen, top = _with_strip(drawn, line, 2)
    pen.text((line // 2, top), _fitted(caption, font, drawn.width - line), _INK, font)
    top += line
    width = max(8, round(_BAR * drawn.width))
    levels = Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (line // 2, 1)))
    # On grey, the bar has the colours that the map has on a photo.
    bar = blend_heat(Image.new("RGB", levels.size, _GREY), levels)
    left = line // 2
    pen.text((left, top), "little", _SOFT, font)
    left += round(font.getlength("little") + font.size / 2)
    whole.paste(bar, (left, top + 2))
    left += width + line // 4
    pen.text((left, top), _fitted(f"much evidence for {label}", font, drawn.width - left), _SOFT, font)
    return whole


def _line(font: ImageFont.FreeTypeFont) -> int:
    """Return the height of a line of text."""
    return round(font.size * 1.6)


def _with_strip(drawn: Image.Image, line: int, rows: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """Return the picture above a white strip of some lines, its pen, and the top of the first."""
    pad = line // 3 if rows else 0
    whole = Image.new("RGB", (drawn.width, drawn.height + rows * line + pad), "white")
    whole.paste(drawn, (0, 0))
    return whole, ImageDraw.Draw(whole), drawn.height + pad


def _rows(keys: Sequence[Key], font: ImageFont.FreeTypeFont, width: int) -> list[list[Key]]:
    """Return the legend in rows that fit the width."""
    rows: list[list[Key]] = []
    left = float(width)
    for key in keys:
        needed = font.getlength(key.text) + 2.6 * font.size
        if not rows or left < needed:
            rows.append([])
            left = width
        rows[-1].append(key)
        left -= needed
    return rows


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return the text, shortened in its middle until it fits the width."""
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and font.getlength(shown := f"{text[: kept // 2]}...{text[-(kept // 2) :]}") > width:
        kept -= 2
    return shown if kept > 2 else ""


def _font(drawn: Image.Image) -> ImageFont.FreeTypeFont:
    """Return the font whose size suits the picture's."""
    font = ImageFont.load_default(min(64, max(14, round((drawn.width + drawn.height) / 90))))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _zoom(image: Image.Image) -> int:
    return max(1, round(_SIDE / max(image.size)))


def _enlarged(image: Image.Image, zoom: int) -> Image.Image:
    return image if zoom == 1 else image.resize((image.width * zoom, image.height * zoom), Image.Resampling.BICUBIC)
