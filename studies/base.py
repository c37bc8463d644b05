"""The base of a study: the classifier trial that a decoder or booster study freezes."""

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from ..bundles.record import WEIGHTS
from ..errors import UserError
from ..leases.budget import is_finished
from ..search.handle import StudyHandle
from ..search.spec import split_base
from ..storage.artifacts import StoredFile, list_files
from ..storage.attributes import BASE, CONFIG
from ..trials.trial_config import TrialConfig
from .registry import best_trial, get_trial, open_study

_PINNED = text("SELECT value_json FROM study_user_attributes WHERE study_id = :study AND key = :key")
_PIN = text(
    "INSERT INTO study_user_attributes (study_id, key, value_json)"
    " SELECT study_id, :key, :value FROM studies WHERE study_id = :study ON CONFLICT (study_id, key) DO NOTHING"
)


def check_base(handle: StudyHandle, number: int | None) -> None:
    """Raise UserError if ``handle`` can never serve as a base.

    That is a trial without a result or without its weights, or a study that ended without one.
    """
    name = handle.study.study_name
    if number is not None:
        trial = get_trial(handle, number)
        if trial.state != TrialState.COMPLETE:
            raise UserError(
                f"base `{name}:{number}` is {trial.state.name}, and a base is a COMPLETE trial;"
                f" see `venation study trials {name}`."
            )
        find_file(handle, trial, WEIGHTS)
    elif best_trial(handle) is None and is_finished(handle):
        raise UserError(
            f"base study `{name}` has ended without a finished trial; see `venation study trials {name}` for the"
            " causes, and create another."
        )


def pinned_base(handle: StudyHandle) -> FrozenTrial | None:
    """Return the base trial of a decoder or booster study; None while the base study still runs.

    The first call after the end of the base study pins its best trial, so that every worker freezes
    the same one. Raises UserError if the base ended without a result.
    """
    base = base_study(handle)
    _, number = split_base(str(handle.spec.base))
    if number is None:
        number = _pin(handle, None)
    if number is None:
        if not is_finished(base):
            return None
        check_base(base, None)
        best = best_trial(base)
        # None if the studies were deleted a moment ago.
        number = None if best is None else _pin(handle, best.number)
    return None if number is None else get_trial(base, number)


def known_base(storage: RDBStorage, base: str) -> TrialConfig:
    """Return the config that the trial of ``base`` recorded, STUDY or STUDY:NUMBER.

    Of a study that has not ended it is that of the study's trial 0: its best trial is not known.
    """
    name, number = split_base(base)
    handle = open_study(storage, name)
    if number is None:
        best = best_trial(handle) if is_finished(handle) else None
        return handle.spec.config if best is None else recorded_config(best)
    return recorded_config(get_trial(handle, number))


def _pin(handle: StudyHandle, number: int | None) -> int | None:
    """Return the pinned number, ``number`` if there was none; None if the study was deleted."""
    given = {"study": handle.id, "key": BASE.key}
    with handle.storage.engine.begin() as connection:
        if number is not None:
            connection.execute(_PIN, given | {"value": str(number)})
        pinned: str | None = connection.scalar(_PINNED, given)
    return None if pinned is None else int(pinned)


def base_study(handle: StudyHandle) -> StudyHandle:
    """Open the study that a decoder or booster study takes its base from."""
    return open_study(handle.storage, split_base(str(handle.spec.base))[0])


def find_file(handle: StudyHandle, trial: FrozenTrial, name: str) -> StoredFile:
    """Return the record of the file ``name`` of a finished trial.

    Raises UserError if gc has removed it.
    """
    for file in list_files(trial, storage=handle.storage):
        if file.filename == name:
            return file
    study = handle.study.study_name
    raise UserError(
        f"trial `{study}:{trial.number}` has no {name} any more: `venation artifacts gc --budget` takes the files of"
        f" trials that are not among the best; choose another trial, see `venation study trials {study}`."
    )


def recorded_config(trial: FrozenTrial) -> TrialConfig:
    """Return the resolved config that a trial recorded.

    Export and predict read it, so that a later change of the space does not change an old trial.
    """
    return TrialConfig.model_validate(CONFIG.need(trial))
