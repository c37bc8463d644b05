"""Costs of a trial's network before training; a trial that breaks a constraint is pruned."""

import hashlib
from collections.abc import Collection

import optuna

from ..leases.lease import Lease
from ..models.cost import cost
from ..models.network_config import NetworkConfig
from ..search.constraints import COSTS, complaints
from ..storage import attributes
from ..studies.context import StudyContext
from ..trials.latency import device_name, measure_config, predict_latency
from ..trials.trial_config import TrialConfig

# Counting takes a moment. Latency is measured, for up to six networks that are not in the table.
COUNTED = ("parameters", "macs")
MEASURED = ("latency",)


def affordable_costs(context: StudyContext, lease: Lease, config: TrialConfig) -> dict[str, float]:
    """Return the costs of a trial, and prune it if they break a constraint. Raises TrialPruned.

    Counted costs come first, so that a network with too many parameters is not measured.
    """
    costs: dict[str, float] = {}
    for names in (COUNTED, MEASURED):
        if more := trial_costs(context, config, only=names):
            costs |= more
            record_costs(lease, costs)
    return costs


def trial_costs(context: StudyContext, config: TrialConfig, *, only: Collection[str] = COSTS) -> dict[str, float]:
    """Return the costs of the network of ``config`` that objectives and constraints name.

    Parameters and MACs are counted without allocation. Latency on the context's device is predicted
    from the study's table; missing entries are measured and added. Only costs in ``only`` are
    returned.
    """
    names = [name for name in context.spec.costs if name in only]
    network = config.network(context.num_classes)
    costs: dict[str, float] = {}
    if set(COUNTED) & set(names):
        known = cost(network)
        costs = {"parameters": known.parameters, "macs": known.macs}
    if "latency" in names:
        costs["latency"] = predict_latency(network, _Table(context))
    return {name: costs[name] for name in names}


def record_costs(lease: Lease, costs: dict[str, float]) -> None:
    """Record a trial's costs and constraint violations.

    Raises TrialPruned if a constraint is broken. The message is the trial's cause. The sampler
    reads from the record that the trial is infeasible, and by how much. Constraints on costs that
    are not in ``costs`` are left for a later call.
    """
    if not costs:
        return
    # Keep the costs of an earlier run until this one has its own: other workers rank the trial by
    # them.
    attributes.COSTS.set(lease.trial, (attributes.COSTS.get(lease.trial) or {}) | costs)
    for name, number in costs.items():
        attributes.METRIC.at(name).set(lease.trial, number)
    constraints = lease.handle.spec.constraints
    for constraint in constraints:
        if constraint.name not in costs:
            continue
        # The trial's own method ignores a second value, and the latency may differ from that on the
        # device of the worker that began this trial.
        excess = constraint.excess(costs[constraint.name])
        attributes.CONSTRAINT.at(str(constraint)).set(lease.trial, excess)
    if broken := complaints(constraints, costs):
        raise optuna.TrialPruned(f"constraint: {', '.join(broken)}")


class _Table:
    """The study's latency table for a context's device; missing entries are measured and added."""

    def __init__(self, context: StudyContext) -> None:
        self._study = context.handle.study
        self._device = context.device
        self._known = self._study.user_attrs

    def __call__(self, config: NetworkConfig) -> float:
        key = f"{device_name(self._device)} {config.model_dump_json()}"
        stored = attributes.LATENCY.at(hashlib.sha256(key.encode()).hexdigest()[:24])
        if stored.key not in self._known:
            self._known[stored.key] = measure_config(config, self._device)
            stored.set(self._study, self._known[stored.key])
        latency: float = self._known[stored.key]
        return latency
