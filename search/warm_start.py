"""A warm start: the best trials of another study as first trials of a new one."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from ..errors import UsageError, UserError
from ..spaces.space import Scalar, Space
from ..trials.config import TrialConfig
from ..trials.fields import get_field, set_fields
from .bases import recorded_config
from .lease import StudyHandle

NUM_STARTS = 3


def warm_starts(source: StudyHandle, kind: str, config: TrialConfig, space: Space) -> list[dict[str, Scalar]]:
    """The best three finished trials of ``source`` as starts: where they differ from ``config`` within ``space``.

    Of each trial only what the new space searches and holds is taken; two that come to the same, or to ``config``
    itself, count once and not at all. Raises UsageError for a study of another kind, UserError for one in which no
    trial has finished.
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
    for trial in trials[:NUM_STARTS]:
        start = _start(recorded_config(trial), config, space)
        if start and start not in starts:
            starts.append(start)
    return starts


def _best_first(source: StudyHandle) -> Sequence[FrozenTrial]:
    done = source.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if source.spec.direction == "maximize" else -1
    return sorted(done, key=lambda trial: (-sign * trial.values[0], trial.number))


def _start(recorded: TrialConfig, config: TrialConfig, space: Space) -> dict[str, Scalar]:
    """Dimension by dimension, as a trial draws them: a condition may hold in one config and not in the other."""
    start: dict[str, Scalar] = {}
    for dimension in space.dimensions:
        value = get_field(recorded, dimension.name)
        if not dimension.applies(config) or not dimension.holds(value) or value == get_field(config, dimension.name):
            continue
        try:
            config = set_fields(config, {dimension.name: value})
        except UsageError:
            continue  # does not go with a field that the new study fixes
        start[dimension.name] = value
    return start
