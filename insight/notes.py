"""The notes that the dashboard shows: a study's state and next step, a trial's pictures.

A note that a user wrote stands below, after a line of its own. Only it is stored.
"""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from ..leases.budget import count_states, read_budget
from ..search.handle import StudyHandle
from ..storage.attributes import METRICS, PROBE, SUSPENDED, VERSUS_PROBE
from ..studies.probe_record import describe_probe
from ..studies.results import best_trial_id
from ..trials.image_outcomes import OUTCOMES
from ..trials.paired import PairedDifference, describe_difference
from ..trials.shares import share_interval
from .trial_json import WrittenTrial
from .trial_pictures import CONFUSION, CURVE

# A Markdown rule; what people write themselves usually has another form.
SEPARATOR = "* * *"
_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def with_user_note(attrs: Mapping[str, Any], trial_id: int | None, own: str) -> dict[str, Any]:
    """Return the note of a study (``trial_id`` None) or a trial: ``own``, then the user's.

    ``attrs`` are the study's system attributes, where optuna-dashboard keeps all notes.
    """
    prefix = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
    version = attrs.get(f"{prefix}note_ver")
    if version is None:
        return {"version": 0, "body": own}
    parts = {key: value for key, value in attrs.items() if key.startswith(f"{prefix}note_str:")}
    body = "".join(parts.get(f"{prefix}note_str:{index}", "") for index in range(len(parts)))
    return {"version": int(version), "body": joined(own, body)}


def joined(own: str, users: str) -> str:
    """Return a note's own part and the user's as one text."""
    return f"{own}\n\n{SEPARATOR}\n\n{users}" if own and users else own or users


def users_part(body: str) -> str:
    """Return the user's part of an edited note, whose first part Venation wrote."""
    own, separator, users = body.partition(f"\n{SEPARATOR}\n")
    return users.strip() if separator else own


def study_note(handle: StudyHandle, connection: Connection) -> str:
    """Return kind, data, base, progress, best trial, baseline and next step, as Markdown."""
    spec, name = handle.spec, handle.study.study_name
    best_id = best_trial_id(connection, handle.id, spec)
    best = None if best_id is None else handle.storage.get_trial(best_id)
    base = "" if spec.base is None else f", on the frozen classifier `{spec.base}`"
    lines = [
        f"**{spec.kind}** of {len(spec.classes)} classes, preset `{spec.preset}`{base}",
        f"- data: `{spec.data}`",
        f"- progress: {_progress(handle, connection)}",
        f"- best: {_best(handle, best)}",
    ]
    if probe := PROBE.get(handle.study):
        lines.append(f"- baseline: {describe_probe(probe)}")
        versus = None if best is None else VERSUS_PROBE.get(best)
        if best is not None and versus is not None:
            said = describe_difference(PairedDifference(**versus), first=f"trial {best.number}", images="validation")
            lines.append(f"- {said}")
    if reason := SUSPENDED.get(handle.study):
        lines.append(f"- **paused**: {reason}")
    return "\n".join([*lines, f"- next: {_next(handle, connection, name, best)}"])


def trial_note(trial: WrittenTrial, handle: StudyHandle, root: str) -> str:
    """Return the pictures of a trial as Markdown; empty without one."""
    place = f"{handle.id}/{trial.trial_id}"
    pictures = [
        f"![{file['filename']}]({root}/artifacts/{place}/{file['artifact_id']})"
        for file in trial.files
        if str(file.get("mimetype", "")).startswith("image/")
    ]
    drawn = (CURVE, trial.has_curve), (CONFUSION, OUTCOMES in {file["filename"] for file in trial.files})
    pictures += [f"![{name}]({root}/pictures/{place}/{name})" for name, exists in drawn if exists]
    return "\n\n".join(pictures)


def _progress(handle: StudyHandle, connection: Connection) -> str:
    counts, budget = count_states(handle, connection), read_budget(handle, connection)
    ended = ", ".join(f"{counts[state]} {state.name.lower()}" for state in _STATES if counts.get(state))
    of = "" if budget.trials is None else f" of {budget.trials}"
    text = f"{sum(counts.get(state, 0) for state in _STATES)}{of} trials ended{f' ({ended})' if ended else ''}"
    for state in (TrialState.RUNNING, TrialState.WAITING):
        if counts.get(state):
            text += f", {counts[state]} {state.name.lower()}"
    return text


def _best(handle: StudyHandle, best: FrozenTrial | None) -> str:
    if best is None:
        return "none yet"
    values = zip(handle.spec.objectives, best.values, strict=True)
    text = f"trial {best.number}, " + ", ".join(f"{name} {value:.4g}" for name, value in values)
    versus, accuracy = VERSUS_PROBE.get(best), (METRICS.get(best) or {}).get("accuracy")
    probe = PROBE.get(handle.study) or {}
    images = (versus or probe).get("images")
    if not images or accuracy is None or handle.spec.objectives[0] != "accuracy":
        return text
    low, high = share_interval(round(accuracy * images), images)
    return f"{text} (95 % interval {low:.3f} to {high:.3f} on {images} validation images)"


def _next(handle: StudyHandle, connection: Connection, name: str, best: FrozenTrial | None) -> str:
    counts, budget = count_states(handle, connection), read_budget(handle, connection)
    if SUSPENDED.get(handle.study):
        return f"solve the problem, then `venation study resume {name}`"
    timed_out = budget.timeout is not None and budget.seconds is not None and budget.seconds > budget.timeout
    used_up = timed_out or (budget.trials is not None and budget.used >= budget.trials)
    if counts.get(TrialState.RUNNING):
        return "wait; the page follows the running trials"
    if counts.get(TrialState.WAITING) or not used_up:
        return f"`venation worker {name}`"
    if best is None:
        return f"`venation study trials {name}` says why no trial has a result"
    return (
        f"`venation bundle export {name} -o {name}.bundle`, or more trials: `venation study extend {name} --trials N`"
    )
