"""Change the budget of a study, also while workers run and after it has ended."""

from pydantic import ValidationError

from ..errors import UsageError, UserError
from ..leases.budget import Budget, deleted_error, read_budget
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..spaces.fields import describe
from ..storage.attributes import SPEC
from ..storage.database import study_lock
from .registry import open_study
from .starts import add_starts


def extend_study(handle: StudyHandle, *, trials: int | None = None, timeout: float | None = None) -> StudyHandle:
    """Set the number of trials, the timeout (seconds since the first claim) or both.

    None leaves a limit as it is. Workers see the new budget at their next claim, and go on with a
    study that had ended. Starts of the study that the old budget had no room for come first.
    Returns the study with its new spec. Raises UsageError for a limit out of range, or for none;
    UserError for a limit below what is used already, and for a one-shot study, whose budget is
    divided before its first trial.
    """
    name = handle.study.study_name
    if trials is None and timeout is None:
        raise UsageError(f"`study extend {name}` needs a new budget: give --trials, --timeout or both.")
    if handle.spec.search == "oneshot":
        raise UserError(
            f"study `{name}` is a one-shot study: its budget is divided between ranked and random configs from the"
            " start; create another one with more trials."
        )
    with study_lock(handle.storage, handle.id) as connection:
        # Read again under the lock: another process may have extended the study.
        stored = SPEC.get(handle.study)
        if stored is None:
            raise deleted_error(handle)
        limits = {"trials": trials, "timeout": timeout}
        stored = stored | {key: value for key, value in limits.items() if value is not None}
        try:
            spec = StudySpec.model_validate(stored)
        except ValidationError as error:
            raise UsageError(describe(error)) from None
        budget = read_budget(handle, connection)
        _check(name, budget, trials, timeout)
        SPEC.set(handle.study, stored)
        if spec.trials is not None and budget.used <= len(spec.starts):
            add_starts(handle.study, spec, room=spec.trials - budget.used)
    return open_study(handle.storage, name)


def why_ended(handle: StudyHandle) -> str | None:
    """Say which limit of its budget a study has used up; None if it may start trials."""
    budget = read_budget(handle)
    if budget.trials is not None and budget.used >= budget.trials:
        return f"the study has its {budget.trials} trials; raise --trials"
    if budget.timeout is not None and budget.seconds is not None and budget.seconds >= budget.timeout:
        return f"its timeout of {budget.timeout:g} s ended {budget.seconds - budget.timeout:.0f} s ago; raise --timeout"
    return None


def _check(name: str, budget: Budget, trials: int | None, timeout: float | None) -> None:
    """Raise UserError for a limit below what the study has used already."""
    if trials is not None and trials < budget.used:
        raise UserError(
            f"--trials {trials} is below the {budget.used} trials that study `{name}` has already; give {budget.used},"
            " which ends it with these, or more."
        )
    if timeout is not None and budget.seconds is not None and timeout < budget.seconds:
        raise UserError(
            f"--timeout {timeout:g} is over: study `{name}` began {budget.seconds:.0f} s ago, and the timeout counts"
            " from then; give more."
        )
