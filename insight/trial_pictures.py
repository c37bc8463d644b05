"""Pictures of a trial drawn for the dashboard at each request, as SVG: curve and confusion matrix.

They are made of what is stored anyway: the reported values, and the answers in ``outcomes.json``.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from ..trials.image_outcomes import ImageOutcomes

CURVE, CONFUSION = "curve.svg", "confusion.svg"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 280, 64, 40
_TEXT = 'font-family="sans-serif" font-size="12" fill="#222"'
_MOST_NAMES = 30  # classes, beyond which names would overlap
_SIDE = 480


def draw_curve(values: Mapping[int, float], objective: str) -> str:
    """Return the learning curve: the objective after each epoch (from 1), without gaps for NaN."""
    points = [(step + 1, value) for step, value in sorted(values.items()) if math.isfinite(value)]
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    low, high = min(value for _, value in points), max(value for _, value in points)
    if low == high:
        low, high = low - 0.5, high + 0.5

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = _LEFT + (epoch - first) / (last - first) * (_WIDTH - _LEFT - 20)
        return x, 20 + (high - value) / (high - low) * (_HEIGHT - _BOTTOM - 30)

    places = [place(*point) for point in points]
    body = [f'<polyline fill="none" stroke="#14603a" stroke-width="2" points="{" ".join(map(_xy, places))}"/>']
    body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#14603a"/>' for x, y in places]
    for value in (low, (low + high) / 2, high):
        y = place(first, value)[1]
        body.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        body.append(_label(_LEFT - 6, y + 4, f"{value:.4g}", "end"))
    for epoch in sorted({first, last}):
        body.append(_label(place(epoch, low)[0], _HEIGHT - _BOTTOM + 12, f"{epoch}", "middle"))
    body.append(_label(_WIDTH / 2, _HEIGHT - 6, f"{objective} after each epoch", "middle"))
    return _svg(_WIDTH, _HEIGHT, body, f"{objective} after each epoch")


def draw_confusion(outcomes: ImageOutcomes) -> str:
    """Return the confusion matrix: rows are true classes, columns answers, dark is a large share.

    Up to 30 classes have their names, up to 15 the number of images in each cell.
    """
    names = outcomes.classes
    margin = 110 if len(names) <= _MOST_NAMES else 30
    cell = _SIDE / len(names)
    body = [f'<rect x="{margin}" y="10" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#888"/>']
    body += _cells(outcomes, cell, margin)
    if len(names) <= _MOST_NAMES:
        for index, name in enumerate(names):
            middle = (index + 0.5) * cell
            short = name if len(name) <= 16 else f"{name[:15]}…"
            body.append(_label(margin - 6, 14 + middle, short, "end"))
            x, y = margin + middle + 4, 20 + _SIDE
            body.append(f'<g transform="rotate(-90 {x:.1f} {y})">{_label(x, y, short, "end")}</g>')
    height = _SIDE + margin + 40
    title = "rows: true class, columns: answer (validation images)"
    body.append(_label(margin + _SIDE / 2, height - 8, title, "middle"))
    return _svg(_SIDE + margin + 10, height, body, title)


def _cells(outcomes: ImageOutcomes, cell: float, margin: float) -> Iterator[str]:
    counts: dict[tuple[int, int], int] = {}
    totals: dict[int, int] = {}
    for label, answer in zip(outcomes.label_I.tolist(), outcomes.answer_I.tolist(), strict=True):
        counts[label, answer] = counts.get((label, answer), 0) + 1
        totals[label] = totals.get(label, 0) + 1
    for (label, answer), count in sorted(counts.items()):
        share = count / totals[label]
        colour = "#14603a" if label == answer else "#a11a1a"
        x, y = margin + answer * cell, 10 + label * cell
        yield (
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{cell:.2f}" height="{cell:.2f}" fill="{colour}"'
            f' fill-opacity="{0.1 + 0.5 * share:.2f}"/>'
        )
        if len(outcomes.classes) <= _MOST_NAMES / 2:
            yield _label(x + cell / 2, y + cell / 2 + 4, str(count), "middle")


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_TEXT}>{escape(text)}</text>'


def _xy(place: tuple[float, float]) -> str:
    return f"{place[0]:.1f},{place[1]:.1f}"


def _svg(width: float, height: float, body: Sequence[str], title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img">'
    back = f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}{back}{''.join(body)}</svg>"
