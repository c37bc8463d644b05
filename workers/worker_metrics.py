"""Prometheus metrics of one worker: `venation worker --metrics-port`.

Counters start at 0 with the process, as Prometheus expects. ``upkeep/prometheus.py`` exports the
totals of all workers from the database.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

REGISTRY = CollectorRegistry()

TRIALS = Counter(
    "venation_worker_trials", "Trials that this worker ended, by state.", ("study", "state"), registry=REGISTRY
)
EPOCHS = Counter(
    "venation_worker_epochs",
    "Epochs trained; for a booster, folds or every tenth round.",
    ("study",),
    registry=REGISTRY,
)
SECONDS = Counter("venation_worker_trial_seconds", "Seconds spent in trials.", ("study",), registry=REGISTRY)
CURRENT = Gauge("venation_worker_current_trial", "1 for the running trial.", ("study", "trial"), registry=REGISTRY)
ProcessCollector(registry=REGISTRY)
