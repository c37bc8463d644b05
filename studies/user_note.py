"""The note that people write to a study: stored as optuna-dashboard does, no part of the spec."""

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..search.handle import StudyHandle

MAX_NOTE = 100_000  # characters


def stored_note(attrs: Mapping[str, Any], trial_id: int | None = None) -> tuple[int, str]:
    """Return version and text of the note of a study (``trial_id`` None) or a trial; 0 without one.

    ``attrs`` are the study's system attributes, where optuna-dashboard keeps all notes.
    """
    prefix = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
    version = attrs.get(f"{prefix}note_ver")
    if version is None:
        return 0, ""
    parts = {key: value for key, value in attrs.items() if key.startswith(f"{prefix}note_str:")}
    return int(version), "".join(parts.get(f"{prefix}note_str:{index}", "") for index in range(len(parts)))


def read_note(handle: StudyHandle) -> str:
    """Return the note of a study, empty without one."""
    return stored_note(handle.storage.get_study_system_attrs(handle.id))[1]


def write_note(handle: StudyHandle, text: str) -> None:
    """Replace the note of a study; an empty text removes it.

    Raises UserError for a text that is too long.
    """
    # Readers of notes do not need the dashboard's server.
    from optuna_dashboard import save_note

    if len(text) > MAX_NOTE:
        raise UserError(f"the note has {len(text)} characters; write at most {MAX_NOTE}.")
    save_note(handle.study, text.strip())
