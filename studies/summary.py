"""A study in words: progress, best trial, next command; light to import."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from ..leases.budget import count_states, read_budget, within_budget
from ..search.handle import StudyHandle
from ..search.spec import StudySpec, split_base
from ..storage.attributes import SUSPENDED, VERSUS_PROBE
from ..trials.shares import share_interval
from ..wording import counted
from .registry import best_trial, trial_row


def next_command(handle: StudyHandle) -> str:
    """Return the command that takes the study one step further.

    Resume a paused study, look at the trials of one that ended without a result, export one that
    ended with a result, run a worker for any other.
    """
    name = handle.study.study_name
    if SUSPENDED.get(handle.study) is not None:
        return f"venation study resume {name}"
    counts = count_states(handle)
    # Without the study's lock: a claim in between does not matter for advice, and a wait would.
    if counts.get(TrialState.RUNNING, 0) or counts.get(TrialState.WAITING, 0) or within_budget(handle):
        return f"venation worker {name}"
    if best_trial(handle) is None:
        return f"venation study trials {name}"
    return f"{_EXPORT} {name} -o {name}.bundle"


def next_commands(handles: Sequence[StudyHandle]) -> list[str]:
    """Return the next commands for several studies, without those that another one covers.

    Finished studies on one base are exported together, and the base with them.
    """
    commands = {handle.study.study_name: next_command(handle) for handle in handles}
    exported = [handle for handle in handles if commands[handle.study.study_name].startswith(_EXPORT)]
    bases = {handle.study.study_name: split_base(handle.spec.base)[0] for handle in exported if handle.spec.base}
    kinds = [handle.spec.kind for handle in exported if handle.study.study_name in bases]
    if len(set(bases.values())) != 1 or len(set(kinds)) < len(kinds):
        return list(commands.values())
    base = next(iter(bases.values()))
    rest = [command for name, command in commands.items() if name not in bases and not (name == base and bases)]
    return [*rest, f"{_EXPORT} {' '.join(bases)} -o {base}.bundle"]


def progress(handle: StudyHandle) -> str:
    """Return the trials of the study by state, in words: ``5 of 20 trials: 4 complete, 1 running``.

    Waiting trials are not counted as done. A study without a budget of trials has no total.
    """
    counts = count_states(handle)
    total = sum(counts.values())
    ended = total - counts.get(TrialState.WAITING, 0) - counts.get(TrialState.RUNNING, 0)
    limit = read_budget(handle).trials  # the handle's own may be older
    listed = ", ".join(f"{number} {_WORDS[state]}" for state in _WORDS if (number := counts.get(state, 0)))
    said = counted(ended, "trial") if limit is None else f"{ended} of {counted(limit, 'trial')}"
    return f"{said}{f': {listed}' if listed else ''}"


def describe_best(handle: StudyHandle) -> str | None:
    """Return the best trial with its values: ``trial 3: accuracy 0.91, logloss 0.31``."""
    best = best_trial(handle)
    if best is None:
        return None
    said, versus = f"trial {best.number}: {describe_values(best, handle.spec)}", VERSUS_PROBE.get(best)
    if handle.spec.objective != "accuracy" or versus is None:
        return said
    low, high = share_interval(round(best.values[0] * versus["images"]), versus["images"])
    return f"{said}; 95 % interval of the accuracy: {low:.3f} to {high:.3f}"


def describe_values(trial: FrozenTrial, spec: StudySpec) -> str:
    """Return the values of a trial, and the metric that decides between equals; empty for none."""
    row = trial_row(trial, spec)
    known = dict(row.get("values") or {spec.objective: row["value"]})
    known.setdefault(spec.tie_break, row.get(spec.tie_break))
    return ", ".join(f"{name} {value:.4g}" for name, value in known.items() if value is not None)


_EXPORT = "venation bundle export"
_WORDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
