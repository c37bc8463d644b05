"""Warm starts: the best trials of another study as the first trials of a new one."""

from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from ..data.data_config import SplitConfig
from ..data.fingerprint import fingerprint
from ..errors import DataError, UsageError, UserError
from ..search.handle import StudyHandle
from ..search.pareto_front import best_first
from ..spaces.fields import get_field, set_fields
from ..spaces.space import Scalar, Space
from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .base import recorded_config
from .data import load_split
from .placement import drawn_value
from .results import finished, signed_values

NUM_STARTS = 3


def check_source(source: StudyHandle, data: Path, identity: str) -> None:
    """Raise UsageError if ``source`` used images that the new study seals.

    It chose its best trials by images that are in the new study's test split. ``identity`` is the
    fingerprint of the new study's data in the new study's split. If the images are those of the
    source, in any folder, only the source's own split keeps the sealed test images apart.
    """
    if identity != source.spec.fingerprint and _split_fingerprint(data, source.spec.split) == source.spec.fingerprint:
        raise UsageError(
            f"`{source.study.study_name}` chose its best trials on another split of these images, and some of those are"
            f" this study's sealed test split; give `--seed {source.spec.split.seed}`, or leave `--from` out."
        )


def warm_starts(source: StudyHandle, kind: Kind, config: TrialConfig, space: Space) -> list[dict[str, Scalar]]:
    """Return the best three points of ``source`` as starts.

    A start names the searched fields in which a finished trial differs from ``config``. Duplicates,
    and trials that equal ``config``, are left out. Raises UsageError for a study of another kind,
    UserError for one without a finished trial.
    """
    name = source.study.study_name
    if source.spec.kind != kind:
        raise UsageError(f"`{name}` is a {source.spec.kind} study; a {kind} study starts from trials of its own kind.")
    trials = _best_first(source)
    if not trials:
        raise UserError(
            f"study `{name}` has no finished trial to start from; start `venation worker {name}`, or leave it out."
        )
    starts: list[dict[str, Scalar]] = []
    for trial in trials:
        start = _start(recorded_config(trial), config, space)
        if start and start not in starts:
            starts.append(start)
    return starts[:NUM_STARTS]


def _split_fingerprint(data: Path, split: SplitConfig) -> str | None:
    """Return the fingerprint of the data under another split; None if they cannot be split so."""
    try:
        return fingerprint(load_split(data, split)[1])
    except DataError:
        return None


def _best_first(source: StudyHandle) -> Sequence[FrozenTrial]:
    done = finished(source)
    return [done[i] for i in best_first(signed_values(done, source.spec))]


def _start(recorded: TrialConfig, config: TrialConfig, space: Space) -> dict[str, Scalar]:
    """Return the fields that a trial differs in.

    They are set dimension by dimension, as a trial samples them, because a condition may depend on
    an earlier field.
    """
    start: dict[str, Scalar] = {}
    for dimension in space.dimensions:
        value = drawn_value(recorded, dimension)
        if not dimension.applies(config) or not dimension.contains(value) or value == get_field(config, dimension.name):
            continue
        try:
            config = set_fields(config, {dimension.name: value})
        except UsageError:
            continue  # does not go with a field that the new study fixes
        start[dimension.name] = value
    return start
