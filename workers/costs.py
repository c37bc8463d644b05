"""What a trial's network costs, known before it is trained, and the end of a trial whose costs break a constraint."""

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

# Counted in a moment; the other has to be measured, for up to six networks of a structure that is not in the table.
COUNTED = ("parameters", "macs")
MEASURED = ("latency",)


def affordable_costs(context: StudyContext, lease: Lease, config: TrialConfig) -> dict[str, float]:
    """As ``trial_costs``, for a trial that is then held back if it fails: what can be counted is judged first.

    So nothing is measured for a network that has too many parameters anyway. Raises TrialPruned.
    """
    costs: dict[str, float] = {}
    for names in (COUNTED, MEASURED):
        if more := trial_costs(context, config, only=names):
            costs |= more
            hold_back(lease, costs)
    return costs


def trial_costs(context: StudyContext, config: TrialConfig, *, only: Collection[str] = COSTS) -> dict[str, float]:
    """The costs that the study's objectives and constraints name, of the network of ``config`` on the context's device.

    Parameters and MACs are counted, nothing is allocated for it. Latency is predicted from the study's table, which is
    filled by measuring what it lacks. Costs that are not among ``only`` are left out.
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


def hold_back(lease: Lease, costs: dict[str, float]) -> None:
    """Record what the network of a trial costs, and how it stands to the study's constraints; TrialPruned if it fails.

    Its message is the trial's cause. The sampler reads there that the trial is infeasible, and how far. A constraint on
    what is not among ``costs`` is left for later.
    """
    if not costs:
        return
    # What a former run of this trial recorded stays until this one has its own: other workers rank the trial by it.
    attributes.COSTS.set(lease.trial, (attributes.COSTS.get(lease.trial) or {}) | costs)
    constraints = lease.handle.spec.constraints
    for constraint in constraints:
        if constraint.name not in costs:
            continue
        # Not by the trial's own method, which ignores a second value: on the device of another worker, which began
        # this trial, the latency may have been another.
        excess = constraint.excess(costs[constraint.name])
        attributes.CONSTRAINT.at(str(constraint)).set(lease.trial, excess)
    if broken := complaints(constraints, costs):
        raise optuna.TrialPruned(f"constraint: {', '.join(broken)}")


class _Table:
    """The study's table of latencies for a context's device; what it lacks is measured and added."""

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
