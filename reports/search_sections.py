"""Sections about a study's search: its figures, and the leaderboard."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..search.constraints import COSTS, amount
from ..storage.attributes import METRICS
from ..studies.registry import num_epochs
from ..wording import counted
from .leaderboard import Standing, has_resamples
from .names import difference_text, metric_name
from .page import Section
from .search_plots import history, importance_bars, learning_curves, pareto
from .space_plots import MAX_FIELDS, parallel_coordinates, searched_fields, value_by_field, widths
from .study_facts import StudyFacts


def search_section(facts: StudyFacts, importances: Mapping[str, float]) -> Section:
    """Return the figures of the search."""
    section = Section("search", "Search")
    section.figure(history(facts))
    section.figure(learning_curves(facts))
    fields = searched_fields(facts, importances)
    if importances:
        section.figure(importance_bars(dict(list(importances.items())[:MAX_FIELDS]), facts.metric))
        others = [name for name in fields if name not in importances]
        if others:
            section.note(f"Not every trial draws {', '.join(others)}, so they have no importance.")
    elif fields:
        section.note("Importances need four finished trials with different values.")
    section.figure(pareto(facts))
    section.figure(widths(facts))
    section.figure(value_by_field(facts, fields))
    section.figure(parallel_coordinates(facts, fields))
    return section


def leaderboard_section(facts: StudyFacts, board: Sequence[Standing]) -> Section:
    """Return the table of the best trials, with intervals and marks."""
    section, metric = Section("leaderboard", "Leaderboard"), facts.spec.objective
    section.text(
        f"{len(board)} of {counted(len(facts.ranked), 'finished trial')}, the best first. The interval is that of 95 %."
        " The best trial's lead over each other one is compared on the same validation images; each comparison stands"
        " by itself. A lead is significant if its interval excludes 0"
        + (
            " and McNemar's exact test agrees; fewer than six images that differ never suffice."
            if metric == "accuracy"
            else "."
        )
    )
    if not has_resamples(metric):
        section.note(f"{metric} is a mean over batches, so no interval comes from the answers on single images.")
    elif any(row.interval is None for row in board):
        section.note(
            "Trials without an interval store no answers for each image: they ran before Venation recorded them, or"
            " `venation artifacts gc` removed their files."
        )
    section.table([_row(facts, metric, row) for row in board], label="Leaderboard", numbered=True)
    fields = list(dict.fromkeys(name for row in board for name in row.trial.params))
    if fields:
        drawn = [
            {"trial": str(row.trial.number)} | {name: row.trial.params.get(name) for name in fields} for row in board
        ]
        section.folded_table("Params of these trials", drawn)
    return section


def _row(facts: StudyFacts, metric: str, row: Standing) -> dict[str, Any]:
    trial, tie = row.trial, facts.spec.tie_break
    duration = None if trial.duration is None else round(trial.duration.total_seconds(), 1)
    others = {
        name: amount(name, value) if name in COSTS else value
        for name, value in zip(facts.spec.objectives[1:], trial.values[1:], strict=True)
    }
    ties = {} if tie in facts.spec.objectives else {tie: (METRICS.get(trial) or {}).get(tie)}
    return {
        "trial": str(trial.number),
        metric_name(metric): f"{row.value:.4f}",
        "95 % interval": None if row.interval is None else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}",
        "lead of the best": _lead(facts, metric, row),
        "the best is": _mark(facts, row),
        **{metric_name(name): value for name, value in (others | ties).items()},
        "epochs": num_epochs(trial),
        "seconds": duration,
    }


def _lead(facts: StudyFacts, metric: str, row: Standing) -> str | None:
    return None if row.lead is None else difference_text(metric, row.lead.value, row.lead.low, row.lead.high)


def _mark(facts: StudyFacts, row: Standing) -> str | None:
    if row.trial is facts.best:
        return "this one"
    if row.lead is None:
        return None
    return "significantly better" if row.lead.significant else "not significantly better"
