"""The notes that the dashboard shows: a study's state and next step, a trial's pictures.

A note that a user wrote stands below a line. Only it is stored.
"""

import re
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial
from sqlalchemy import Connection

from ..search.handle import StudyHandle
from ..storage.attributes import METRICS, PROBE, SUSPENDED, VERSUS_PROBE
from ..studies.probe_record import describe_probe
from ..studies.results import best_trial_id
from ..studies.summary import next_command, progress
from ..studies.user_note import stored_note
from ..trials.image_outcomes import OUTCOMES
from ..trials.paired import PairedDifference, describe_difference
from ..trials.shares import share_interval
from .trial_json import WrittenTrial
from .trial_pictures import CONFUSION, CURVE

# A Markdown rule; what people write themselves usually has another form.
SEPARATOR = "* * *"


def with_user_note(attrs: Mapping[str, Any], trial_id: int | None, own: str) -> dict[str, Any]:
    """Return the note of a study (``trial_id`` None) or a trial: ``own``, then the user's.

    ``attrs`` are the study's system attributes, where optuna-dashboard keeps all notes.
    """
    version, body = stored_note(attrs, trial_id)
    return {"version": version, "body": joined(own, body)}


def joined(own: str, users: str) -> str:
    """Return a note's own part, the line below which users write, and their part as one text."""
    return f"{own}\n\n{SEPARATOR}\n\n{users}" if own else users


def users_part(body: str) -> str:
    """Return the user's part of an edited note, whose first part Venation wrote."""
    own, *users = re.split(rf"^{re.escape(SEPARATOR)}[ \t\r]*$", body, maxsplit=1, flags=re.MULTILINE)
    return users[0].strip() if users else own


def study_note(handle: StudyHandle, connection: Connection) -> str:
    """Return kind, data, base, progress, best trial, baseline and next step, as Markdown."""
    spec = handle.spec
    best_id = best_trial_id(connection, handle.id, spec)
    best = None if best_id is None else handle.storage.get_trial(best_id)
    base = "" if spec.base is None else f", on the frozen classifier `{spec.base}`"
    lines = [
        f"**{spec.kind}** of {len(spec.classes)} classes, preset `{spec.preset}`{base}",
        f"- data: `{spec.data}`",
        f"- progress: {progress(handle)}",
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
    return "\n".join([*lines, f"- next: `{next_command(handle)}`"])


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
