"""A plot of a ranking: the expected value of every candidate over its cost."""

from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw, ImageFont

_SIZE = (640, 420)  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 34, 44
_DOT = 3
_OTHERS, _CHOSEN, _AXIS = (150, 160, 175), (190, 30, 30), (90, 90, 90)


def draw_ranking(
    values: Sequence[float], costs: Sequence[float], *, chosen: Collection[int], names: tuple[str, str]
) -> Image.Image:
    """Plot values (upwards) over costs, and mark the candidates of ``chosen``.

    Both axes run from the minimum to the maximum. ``names`` are the names of value and cost.
    """
    picture = Image.new("RGB", _SIZE, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    width, height = _SIZE
    frame = (_LEFT, _TOP, width - _RIGHT, height - _BOTTOM)
    pen.rectangle(frame, outline=_AXIS)
    pen.text((_LEFT, 10), f"{len(values)} candidates: {names[0]} over {names[1]}; marked: the best", "black", font)
    for value, row in ((max(values), _TOP), (min(values), height - _BOTTOM - 14)):
        pen.text((6, row), f"{value:.4g}", "black", font)
    for cost, column in ((min(costs), _LEFT), (max(costs), width - _RIGHT - 60)):
        pen.text((column, height - _BOTTOM + 6), f"{cost:.4g}", "black", font)
    # Draw the marked points last, above the others.
    for number in sorted(range(len(values)), key=lambda number: number in chosen):
        x = _place(costs[number], costs, _LEFT, width - _RIGHT)
        y = _place(values[number], values, height - _BOTTOM, _TOP)
        pen.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=_CHOSEN if number in chosen else _OTHERS)
    return picture


def _place(value: float, values: Sequence[float], start: int, end: int) -> float:
    """Scale a value to the axis from ``start`` to ``end``; the middle if all values are equal."""
    low, high = min(values), max(values)
    return start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)
