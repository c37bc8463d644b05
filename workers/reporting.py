"""Report a trial's curve after every step, and prune the trial by it."""

from collections.abc import Mapping

import optuna

from ..leases.lease import Lease
from ..storage.attributes import CURVES
from ..studies.context import StudyContext


class TrialReporter:
    """Reports the metrics of each step, and prunes the trial by the study's pruner.

    A step that an earlier run of this trial reported is not reported again. With several objectives
    Optuna takes no reports and prunes nothing; ``leases/asha_scores`` says where the curves go.
    After the ``last`` step a trial is not pruned, because no work would be saved. Raises
    TrialPruned and LeaseLost.
    """

    def __init__(self, context: StudyContext, lease: Lease, *, last: int) -> None:
        self._lease = lease
        self._last = last
        self._ranks = context.spec.search == "oneshot" and lease.trial.number == 0
        self._objective, self._others = context.spec.objective, context.spec.curves
        self._several = len(context.spec.objectives) > 1
        known = context.handle.storage.get_trial(lease.trial_id)
        self._known = set(known.intermediate_values)
        self._curves: dict[str, dict[str, float]] = dict(CURVES.get(known) or {})

    def __call__(self, metrics: Mapping[str, float], step: int, *, last: bool = False) -> None:
        """Report the metrics after ``step``; ``last`` says that the trial ends early with it."""
        if step in self._known:
            self._lease.check()
        else:
            # Before the main objective's report, which marks the step as done.
            self._record_others(metrics, step)
            self._record_main(metrics[self._objective], step)
        # A one-shot study cannot rank its space without its first trial.
        if (
            not self._several
            and step < self._last
            and not last
            and not self._ranks
            and self._lease.trial.should_prune()
        ):
            raise optuna.TrialPruned

    def _record_main(self, value: float, step: int) -> None:
        if self._several:
            self._lease.trial.storage.set_trial_intermediate_value(self._lease.trial_id, step, value)
        else:
            self._lease.trial.report(value, step)

    def _record_others(self, metrics: Mapping[str, float], step: int) -> None:
        measured = [name for name in self._others if name in metrics]
        for name in measured:
            self._curves[name] = self._curves.get(name, {}) | {str(step): metrics[name]}
        if measured:
            CURVES.set(self._lease.trial, self._curves)
