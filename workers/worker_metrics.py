"""What one worker tells Prometheus of itself: `venation worker --metrics-port`.

Counters start at 0 with the process, as Prometheus expects; what all workers together did is told by
``upkeep/prometheus.py``, from the database.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

REGISTRY = CollectorRegistry()

TRIALS = Counter(
    "venation_worker_trials", "Trials that this worker ran to an end, by state.", ("study", "state"), registry=REGISTRY
)
EPOCHS = Counter(
    "venation_worker_epochs",
    "Epochs trained; of a booster its folds, or every tenth round.",
    ("study",),
    registry=REGISTRY,
)
SECONDS = Counter("venation_worker_trial_seconds", "Seconds spent in trials.", ("study",), registry=REGISTRY)
CURRENT = Gauge("venation_worker_current_trial", "1 for the trial that runs.", ("study", "trial"), registry=REGISTRY)
ProcessCollector(registry=REGISTRY)
