"""Figures of a search: its history, the learning curves, the importances, the Pareto front."""

import numpy as np
import optuna
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from ..search.pareto_front import first_front
from ..studies.results import signed_values
from ..wording import counted
from .drawing import BEST, GOOD, PLAIN, WORSE, Canvas, Drawing
from .names import capital, metric_name
from .study_facts import StudyFacts

# With more curves than this the thin ones are stored as pixels, which keeps the page small.
_VECTOR_CURVES = 60
_NAMED_CURVES = 5


def history(facts: StudyFacts) -> Drawing:
    """Draw the value of every trial by its number, and the best value so far."""
    canvas, spec = Canvas(height=3.4), facts.spec
    axes, sign = canvas.axes, spec.signs[0]
    done = sorted(facts.ranked, key=lambda trial: trial.number)
    numbers, values = [trial.number for trial in done], np.array([trial.values[0] for trial in done])
    axes.plot(numbers, values, "o", color=PLAIN, markersize=3.5, alpha=0.7, label="finished")
    stopped = [trial for trial in facts.trials if trial.state == TrialState.PRUNED and trial.intermediate_values]
    if stopped:
        points = [trial.number for trial in stopped], [_last(trial) for trial in stopped]
        axes.plot(*points, "x", color=WORSE, markersize=4, label="pruned, last report")
    best = sign * np.maximum.accumulate(sign * values)
    axes.step(numbers, best, where="post", color=BEST, label="best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(facts.metric)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    alt = f"Finished trials: {len(done)}; the best {facts.metric} went from {best[0]:.4g} to {best[-1]:.4g}."
    return canvas.finish("history", "History of the search", alt)


def learning_curves(facts: StudyFacts) -> Drawing | None:
    """Draw the reports of all trials by step, the best ones by name; None without reports."""
    with_curve = [trial for trial in facts.trials if len(trial.intermediate_values) > 1]
    if not with_curve:
        return None
    canvas = Canvas(height=3.6)
    axes = canvas.axes
    lines = [np.array(_curve(trial)) for trial in with_curve]
    thin = LineCollection(lines, colors=WORSE, linewidths=0.6, alpha=_alpha(len(lines)))
    thin.set_rasterized(len(lines) > _VECTOR_CURVES)
    axes.add_collection(thin)
    named = [trial for trial in facts.ranked if len(trial.intermediate_values) > 1][:_NAMED_CURVES]
    for place, trial in enumerate(named):
        style = {"color": BEST, "linewidth": 2.0, "zorder": 4} if place == 0 else {"linewidth": 1.1, "zorder": 3}
        axes.plot(*zip(*_curve(trial), strict=True), label=f"trial {trial.number}", **style)
    axes.autoscale()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(_step_name(facts))
    axes.set_ylabel(facts.metric)
    if named:
        axes.legend(loc="best")
    best = "the best is coloured" if len(named) == 1 else f"the best {len(named)} are coloured"
    alt = f"The {facts.metric} of {counted(len(lines), 'trial')} by {_step_name(facts)}; {best}."
    return canvas.finish("learning-curves", "Learning curves", alt)


def importances(facts: StudyFacts) -> dict[str, float]:
    """Return the importance of each field that every finished trial drew, the largest first.

    PED-ANOVA (Watanabe et al. 2023), Optuna's default, on the main objective. Empty with fewer than
    four finished trials, or with equal values.
    """
    values = [trial.values[0] for trial in facts.ranked]
    if len(values) < 4 or min(values) == max(values):
        return {}
    drawn = set.intersection(*(set(trial.params) for trial in facts.ranked))
    varied = {name for name in drawn if len({trial.params[name] for trial in facts.ranked}) > 1}
    if not varied:
        return {}
    study = optuna.create_study(direction=facts.spec.direction)
    study.add_trials([_single(trial) for trial in facts.ranked])
    found = get_param_importances(study, params=sorted(varied))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def importance_bars(found: dict[str, float], objective: str) -> Drawing:
    """Draw the importances as bars, the largest on top."""
    canvas = Canvas(height=0.9 + 0.26 * len(found))
    axes = canvas.axes
    names, shares = list(found), [100 * share for share in found.values()]
    bars = axes.barh(names, shares, color=PLAIN)
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the importance in percent")
    shown = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.items())
    alt = f"What decides the {objective}: {shown}."
    return canvas.finish("importances", "Importance of the searched fields", alt)


def pareto(facts: StudyFacts) -> Drawing | None:
    """Draw the main objective against the next one, or against the seconds of a trial.

    None if no finished trial has a duration.
    """
    spec = facts.spec
    if len(spec.objectives) > 1:
        trials, other = list(facts.ranked), metric_name(spec.objectives[1])
        values = np.array([trial.values[:2] for trial in trials])
        signed = signed_values(trials, spec)[:, :2]
    else:
        trials = [trial for trial in facts.ranked if trial.duration is not None]
        other = "seconds of the trial"
        values = np.array([(trial.values[0], _seconds(trial)) for trial in trials]).reshape(-1, 2)
        signed = values * (spec.signs[0], -1)
    if not trials:
        return None
    canvas = Canvas(height=3.6)
    axes, front = canvas.axes, first_front(signed)
    axes.plot(values[:, 1], values[:, 0], "o", color=PLAIN, markersize=3.5, alpha=0.6, label="finished trial")
    axes.plot(values[front, 1], values[front, 0], "o-", color=GOOD, label="not dominated")
    for index in front[:12]:
        point = (float(values[index, 1]), float(values[index, 0]))
        axes.annotate(str(trials[index].number), point, (4, -10), textcoords="offset points")
    axes.set_xlabel(other)
    axes.set_ylabel(facts.metric)
    axes.legend(loc="best")
    numbers = ", ".join(str(trials[index].number) for index in front[:12])
    main, noun = facts.metric, "trial" if len(front) == 1 else "trials"
    alt = f"{capital(main)} against {other}: no trial is better in both than {noun} {numbers}."
    return canvas.finish("pareto", f"Pareto front: {main} and {other}", alt)


def _single(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial with its main value alone."""
    return optuna.trial.create_trial(
        params=trial.params, distributions=trial.distributions, value=trial.values[0], state=TrialState.COMPLETE
    )


def _alpha(lines: int) -> float:
    """Return the opacity of thin lines: less, the more there are."""
    return min(0.5, max(0.08, 30 / lines))


def _curve(trial: FrozenTrial) -> list[tuple[float, float]]:
    """Return the reports of a trial, the first step as 1."""
    return [(step + 1.0, value) for step, value in sorted(trial.intermediate_values.items())]


def _last(trial: FrozenTrial) -> float:
    return trial.intermediate_values[max(trial.intermediate_values)]


def _seconds(trial: FrozenTrial) -> float:
    return 0.0 if trial.duration is None else trial.duration.total_seconds()


def _step_name(facts: StudyFacts) -> str:
    spec = facts.spec
    if spec.folds or (spec.kind.facts.has_folds and spec.config.boost.folds):
        return "fold"
    return "epoch" if spec.kind.facts.has_epochs else "boosting round"
