"""Sections about the runs of a study: what it cost, and where its results come from."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..leases.history import attempts
from ..search.constraints import amount
from ..storage.attributes import CONFIG, COSTS, CREATED, PROVENANCE
from ..studies.registry import num_epochs
from ..wording import counted
from .names import duration_text
from .page import Section
from .study_facts import StudyFacts


def cost_section(facts: StudyFacts) -> Section:
    """Return the hours and epochs by how trials ended, by device, and of the best trial."""
    section = Section("cost", "Cost")
    total, spent = hours(facts.trials), facts.best.duration
    section.text(
        f"{counted(len(facts.trials), 'trial')} took {duration_text(total * 3600)} of worker time"
        + ("" if spent is None else f", the best one {duration_text(spent.total_seconds())}")
        + "."
    )
    rows = []
    for state in TrialState:
        ended = [trial for trial in facts.trials if trial.state == state]
        if ended:
            share = hours(ended) / total if total else 0.0
            row = {"trials that are": state.name, "trials": len(ended), "epochs": sum(map(num_epochs, ended))}
            rows.append(row | {"hours": round(hours(ended), 3), "share of the time": f"{100 * share:.0f} %"})
    section.table(rows, label="Time by the end of trials")
    section.table(_device_rows(facts.trials), label="Time by device")
    costs = COSTS.get(facts.best) or {}
    if costs:
        section.text(
            f"The network of trial {facts.best.number}: "
            + ", ".join(f"{name} {amount(name, value)}" for name, value in costs.items())
            + "."
        )
    return section


def provenance_section(facts: StudyFacts) -> Section:
    """Return the study's options, and the versions and machine of the best trial."""
    section, spec = Section("provenance", "Provenance"), facts.spec
    budget = [None if spec.trials is None else counted(spec.trials, "trial")]
    budget += [None if spec.timeout is None else f"{spec.timeout:g} s"]
    rows: dict[str, Any] = {
        "study": facts.name,
        "created": CREATED.get(facts.handle.study),
        "kind": spec.kind,
        "preset": spec.preset,
        "base": spec.base,
        "data": spec.data,
        "fingerprint of the data": spec.fingerprint,
        "split": ", ".join(f"{name} {value}" for name, value in spec.split.model_dump().items()),
        "folds": spec.folds or None,
        "classes": len(spec.classes),
        "objectives": ", ".join(spec.objectives),
        "constraints": ", ".join(map(str, spec.constraints)) or None,
        "sampler, pruner, seed": f"{spec.sampler}, {spec.pruner}, {spec.seed}",
        "budget": ", ".join(filter(None, budget)) or None,
    }
    rows |= _origin(facts.best)
    shown = [{"what": name, "value": str(value)} for name, value in rows.items() if value is not None]
    section.table(shown, label="Provenance")
    section.folded(f"Config of trial {facts.best.number}", json.dumps(CONFIG.get(facts.best), indent=2))
    return section


def hours(trials: Sequence[FrozenTrial]) -> float:
    """Return the hours that workers spent on trials, all attempts together."""
    return sum(_seconds(attempt) for trial in trials for attempt in _runs(trial)) / 3600


def _runs(trial: FrozenTrial) -> Sequence[Any]:
    """Return the attempts at a trial; one, from its own times, where none are recorded."""
    past = [attempt for attempt in attempts(trial) if attempt.get("ended")]
    if past or trial.datetime_start is None or trial.datetime_complete is None:
        return past
    times = {"started": trial.datetime_start.isoformat(), "ended": trial.datetime_complete.isoformat()}
    return [times | {"device": "unknown", "host": "unknown"}]


def _seconds(attempt: Any) -> float:
    start, end = (datetime.fromisoformat(attempt[name]) for name in ("started", "ended"))
    return max(0.0, (end - start).total_seconds())


def _device_rows(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    spent: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        for attempt in _runs(trial):
            spent.setdefault((attempt["host"], attempt["device"]), []).append(_seconds(attempt))
    return [
        {"machine": host, "device": device, "runs": len(seconds), "hours": round(sum(seconds) / 3600, 3)}
        for (host, device), seconds in sorted(spent.items())
    ]


def _origin(trial: FrozenTrial) -> dict[str, Any]:
    found = PROVENANCE.get(trial)
    if found is None:
        return {}
    commit = found.get("commit")
    return {
        "best trial": trial.number,
        "machine": f"{found['hostname']}, {found['platform']}, {found['device']}",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "Python": found["python"],
        "commit": None if commit is None else commit + (" with changes" if found["dirty"] else ""),
        "command": " ".join(found["command"]),
    }
