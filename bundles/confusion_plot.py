"""Draw confusion matrices of three to hundreds of classes.

Shapes: N classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..trials.metrics import Ints

# Sizes in pixels. Class names need cells of at least the second size; on the largest grid, cells
# shrink further and have no names.
_MAX_CELL, _NAMED_CELL = 40, 11
_GRID, _MAX_GRID = 1200, 7700
_MARGIN = 8
_COUNTED_CELL = 22
_MAX_NAME_LENGTH = 28
_RULE_EVERY = 10
_RIGHT, _WRONG = (20, 70, 160), (190, 30, 30)
_RULE = (200, 200, 200)


def draw_confusion(splits: Mapping[str, Ints], classes: Sequence[str]) -> Image.Image:
    """Draw the counts ``(N, N)`` of each split in a grid; the grids are stacked vertically.

    Rows are the true classes, columns the predicted ones. The colour of a cell shows the square
    root of its share of the row, so that single errors stay visible: blue on the diagonal, red
    elsewhere. Large cells also show their count. Rows without images are white.
    """
    drawn = [_draw_split(f"{split}: {counts.sum()} images", counts, classes) for split, counts in splits.items()]
    sheet = Image.new("RGB", (max(p.width for p in drawn), sum(p.height for p in drawn)), "white")
    top = 0
    for picture in drawn:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet


def _draw_split(title: str, counts: Ints, classes: Sequence[str]) -> Image.Image:
    cell = cell_size(len(classes))
    names = [name[:_MAX_NAME_LENGTH] for name in classes] if cell >= _NAMED_CELL else []
    font = ImageFont.load_default(min(cell, 14) - 1 if names else 13)
    name_width = 2 * _MARGIN + max((round(font.getlength(name)) for name in names), default=0)
    side = cell * len(classes)
    heading = 3 * _MARGIN + 14
    width = max(name_width + side, round(font.getlength(title))) + _MARGIN
    picture = Image.new("RGB", (width, heading + name_width + side + _MARGIN), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _MARGIN), f"{title}; row: true, column: predicted", fill="black", font=font)
    corner = (name_width, heading + name_width)
    picture.paste(_grid(counts, cell), corner)
    for index, name in enumerate(names):
        middle = index * cell + cell // 2
        pen.text((name_width - _MARGIN, corner[1] + middle), name, fill="black", font=font, anchor="rm")
        _write_upwards(picture, (name_width + middle, corner[1] - _MARGIN), name, font)
    if cell >= _COUNTED_CELL:
        _write_counts(pen, corner, counts, cell)
    return picture


def cell_size(num_classes: int) -> int:
    """Return the side of a cell in pixels."""
    size = min(_MAX_CELL, max(_NAMED_CELL, _GRID // num_classes))
    return size if size * num_classes <= _MAX_GRID else max(1, _MAX_GRID // num_classes)


def cell_colours(counts: Ints) -> NDArray[np.uint8]:
    """Return the colour of every cell, ``(N, N, 3)``."""
    share_NN = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[..., None]
    full_NN3 = np.where(np.eye(len(counts), dtype=bool)[..., None], np.array(_RIGHT), np.array(_WRONG))
    return np.rint(255 + share_NN * (full_NN3 - 255.0)).astype(np.uint8)


def _grid(counts: Ints, cell: int) -> Image.Image:
    grid = Image.fromarray(cell_colours(counts).repeat(cell, axis=0).repeat(cell, axis=1))
    pen = ImageDraw.Draw(grid)
    last = grid.width - 1
    # Rules between large cells, otherwise every ten classes as a counting aid.
    for at in range(0, grid.width, cell if cell >= _COUNTED_CELL else cell * _RULE_EVERY):
        pen.line([(at, 0), (at, last)], fill=_RULE)
        pen.line([(0, at), (last, at)], fill=_RULE)
    pen.rectangle((0, 0, last, last), outline=_RULE)
    return grid


def _write_upwards(
    picture: Image.Image, foot: tuple[int, int], text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    line = Image.new("RGB", (max(1, right - left), max(1, bottom - top)), "white")
    ImageDraw.Draw(line).text((-left, -top), text, fill="black", font=font)
    upright = line.rotate(90, expand=True)
    picture.paste(upright, (foot[0] - upright.width // 2, foot[1] - upright.height))


def _write_counts(pen: ImageDraw.ImageDraw, corner: tuple[int, int], counts: Ints, cell: int) -> None:
    font = ImageFont.load_default(11)
    shares_NN = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in np.argwhere(counts):
        middle = (corner[0] + int(column) * cell + cell // 2, corner[1] + int(row) * cell + cell // 2)
        colour = "white" if shares_NN[row, column] > 0.3 else "black"
        pen.text(middle, str(counts[row, column]), fill=colour, font=font, anchor="mm")
