"""Figures of a search space: parallel coordinates, values by field, widths against the value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from .drawing import BEST, PLAIN, RAMP, Canvas, Drawing
from .names import capital
from .study_facts import StudyFacts

MAX_FIELDS = 12
_VECTOR_LINES = 150
_COLUMNS = 3
# Fields that set how wide a part of a network is.
_WIDTHS = ("decoder.widths.", "decoder.levels.", "decoder.channels")


def searched_fields(facts: StudyFacts, importances: Mapping[str, float]) -> list[str]:
    """Return the fields that vary between the finished trials, the most important first."""
    seen: dict[str, set[Any]] = {}
    for trial in facts.ranked:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value)
    varied = [name for name, values in seen.items() if len(values) > 1]
    return sorted(varied, key=lambda name: -importances.get(name, 0.0))


def parallel_coordinates(facts: StudyFacts, fields: Sequence[str]) -> Drawing | None:
    """Draw each finished trial as a line through its params; None with fewer than two fields."""
    fields = list(fields[:MAX_FIELDS])
    if len(fields) < 2:
        return None
    trials = facts.ranked[::-1]  # the best is drawn last, on top
    scales = [_Scale(name, trials) for name in fields]
    values = np.array([trial.values[0] for trial in trials])
    norm = Normalize(values.min(), values.max())
    place_TF = np.array([[*(scale.place(t) for scale in scales), norm(t.values[0])] for t in trials], dtype=float)
    canvas = Canvas(height=4.4)
    axes, last = canvas.axes, len(fields)
    lines = LineCollection(
        [np.column_stack([np.arange(last + 1), row]) for row in place_TF], cmap=RAMP, norm=norm, linewidths=0.9
    )
    lines.set_array(values)
    lines.set_alpha(min(0.6, max(0.15, 60 / len(trials))))
    lines.set_rasterized(len(trials) > _VECTOR_LINES)
    axes.add_collection(lines)
    axes.plot(np.arange(last + 1), place_TF[-1], color=BEST, linewidth=2, label=f"trial {facts.best.number}")
    for at, scale in enumerate(scales):
        axes.axvline(at, color="#9aa0a6", linewidth=0.8)
        for height, text in scale.ticks():
            axes.text(at + 0.03, height, text, fontsize=7, va="center")
    axes.axvline(last, color="#9aa0a6", linewidth=0.8)
    axes.set_xlim(-0.1, last + 0.3)
    axes.set_xticks(
        range(last + 1),
        [*(_short(name) for name in fields), facts.metric],
        rotation=25,
        ha="right",
    )
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    canvas.figure.colorbar(ScalarMappable(norm, RAMP), ax=axes, label=facts.metric, pad=0.01)
    alt = f"{len(trials)} trials as lines through {', '.join(fields)}; the colour is the {facts.metric}."
    return canvas.finish("parallel-coordinates", "Parallel coordinates", alt)


def value_by_field(facts: StudyFacts, fields: Sequence[str]) -> Drawing | None:
    """Draw the value of every finished trial against each field; None without a field."""
    fields = fields[:MAX_FIELDS]
    if not fields:
        return None
    columns = min(_COLUMNS, len(fields))
    rows = -(-len(fields) // columns)
    canvas = Canvas(height=2.3 * rows, rows=rows, columns=columns)
    cells = list(canvas.grid.flat)
    for axes, name in zip(cells, fields, strict=False):
        drew = [trial for trial in facts.ranked if name in trial.params]
        scale = _Scale(name, drew)
        axes.plot(
            [scale.place(trial) for trial in drew], [trial.values[0] for trial in drew], "o", color=PLAIN, alpha=0.5,
            markersize=3,
        )  # fmt: skip
        if name in facts.best.params:
            axes.plot(scale.place(facts.best), facts.best.values[0], "o", color=BEST, markersize=6)
        axes.set_xticks(*zip(*scale.ticks(), strict=True), rotation=20 if scale.choices else 0)
        axes.set_xlim(-0.08, 1.08)
        axes.set_title(_short(name), fontsize=9)
    for axes in cells[len(fields) :]:
        axes.set_visible(False)
    for axes in canvas.grid[:, 0]:
        axes.set_ylabel(facts.metric)
    alt = f"The {facts.metric} against {', '.join(fields)}; the best trial is the large dot."
    return canvas.finish("value-by-field", f"{capital(facts.metric)} by searched field", alt)


def widths(facts: StudyFacts) -> Drawing | None:
    """Draw the mean value for each width of each part of a decoder; None without widths."""
    names = sorted({n for t in facts.ranked for n in t.params if n.startswith(_WIDTHS)})
    if not names:
        return None
    choices = sorted({float(t.params[n]) for t in facts.ranked for n in names if n in t.params})
    mean, count = mean_values(facts.ranked, names, choices)
    canvas = Canvas(height=1.2 + 0.36 * len(names))
    axes = canvas.axes
    picture = axes.imshow(mean, cmap=RAMP, aspect="auto")
    middle = (np.nanmin(mean) + np.nanmax(mean)) / 2
    for row, column in np.argwhere(count):
        text = f"{mean[row, column]:.3f} ({count[row, column]})"
        colour = "black" if mean[row, column] > middle else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(choices)), [f"{choice:.4g}" for choice in choices])
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_xlabel("width")
    axes.grid(visible=False)
    canvas.figure.colorbar(picture, ax=axes, label=f"mean {facts.metric}", pad=0.01)
    row, column = np.unravel_index(np.nanargmax(mean * facts.spec.signs[0]), mean.shape)
    alt = (
        f"Mean {facts.metric} and number of trials for each width; the best cell is {names[row]} ="
        f" {choices[column]:.4g} with {mean[row, column]:.3f}."
    )
    return canvas.finish("widths", f"Widths against {facts.metric}", alt)


class _Scale:
    """The axis of one field: params become places from 0 to 1."""

    def __init__(self, name: str, trials: Sequence[FrozenTrial]) -> None:
        self._name = name
        given = next(trial.distributions[name] for trial in trials if name in trial.distributions)
        self._log = bool(getattr(given, "log", False))
        self.choices = _choices(given, name, trials)
        numbers = [float(t.params[name]) for t in trials if name in t.params] if not self.choices else [0.0]
        ends = self._bend(min(numbers)), self._bend(max(numbers))
        self._low, self._span = ends[0], (ends[1] - ends[0]) or 1.0

    def place(self, trial: FrozenTrial) -> float:
        """Return the place of a trial; -0.12, below the axis, if it did not draw the field."""
        if self._name not in trial.params:
            return -0.12
        value = trial.params[self._name]
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        return (self._bend(float(value)) - self._low) / self._span

    def ticks(self) -> list[tuple[float, str]]:
        """Return places with their texts."""
        if self.choices:
            steps = max(1, len(self.choices) - 1)
            return [(at / steps, _text(choice)) for at, choice in enumerate(self.choices)]
        places = (0.0, 0.5, 1.0)
        values = [self._low + place * self._span for place in places]
        return [
            (place, f"{10**value if self._log else value:.3g}") for place, value in zip(places, values, strict=True)
        ]

    def _bend(self, value: float) -> float:
        return float(np.log10(value)) if self._log else value


def _choices(given: BaseDistribution, name: str, trials: Sequence[FrozenTrial]) -> list[Any]:
    if not isinstance(given, CategoricalDistribution):
        return []
    used = {trial.params[name] for trial in trials if name in trial.params}
    return [choice for choice in given.choices if choice in used]


def mean_values(
    trials: Sequence[FrozenTrial], names: Sequence[str], choices: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean value and the number of trials for each field and width; NaN without one."""
    total = np.zeros((len(names), len(choices)))
    count = np.zeros(total.shape, dtype=np.int64)
    for trial in trials:
        for row, name in enumerate(names):
            if name in trial.params:
                column = choices.index(float(trial.params[name]))
                total[row, column] += trial.values[0]
                count[row, column] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def _short(name: str) -> str:
    """Return a field without its first part: ``lr``, not ``train.lr``."""
    return name.split(".", 1)[-1]


def _text(choice: Any) -> str:
    return f"{choice:.4g}" if isinstance(choice, float) else str(choice)[:18]
