"""Tell MLflow or Weights & Biases of a worker's trials, without ever holding a trial up."""

import logging
import math
import re
from collections.abc import Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from ..escaping import one_line
from ..redaction import redact
from .events import EpochEnds, TrialBegins, TrialEnds

log = logging.getLogger(__name__)

# How long the end of a worker waits for a server that is slow.
CLOSE_SECONDS = 30.0
_MLFLOW_STATES = {"COMPLETE": "FINISHED", "FAIL": "FAILED"}
_UNFIT = re.compile(r"[^\w\-. /]")


class Client(Protocol):
    """A tracking service; its methods may raise anything."""

    def begin(self, trial: TrialBegins) -> None:
        """Open the run of a trial, or the one that an earlier attempt began."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics of the open run after an epoch."""

    def end(self, state: str, values: Mapping[str, float]) -> None:
        """Close the open run with the trial's state and its final values."""


class Tracker:
    """A listener of a worker's events that passes them on to a client.

    The client runs in a thread of its own: a server that is slow, or away, costs no trial a second.
    Its first failure is a warning; what fails is lost there, and never here.
    """

    def __init__(self, name: str, client: Client) -> None:
        self._name, self._client = name, client
        self._open = self._warned = False
        self._events: SimpleQueue[object] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __call__(self, event: object) -> None:
        """Take an event; those that are not of trials are none of its concern."""
        if isinstance(event, TrialBegins | EpochEnds | TrialEnds):
            self._events.put(event)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is left, for at most so many seconds."""
        self._events.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning("%s has not answered for %.0f s; what it has not received is lost", self._name, seconds)

    def _run(self) -> None:
        while True:
            event = self._events.get()
            try:
                self._tell(event)
            except Exception as error:  # a client may raise anything, and no trial may suffer from it
                if not self._warned:
                    text = one_line(redact(f"{type(error).__name__}: {error}"))
                    log.warning("%s failed (%s); the trials go on, and no further failure is shown", self._name, text)
                self._warned = True
            if event is None:
                return

    def _tell(self, event: object) -> None:
        match event:
            case TrialBegins():
                self._close_run("PAUSED", {})
                self._client.begin(event)
                self._open = True
            case EpochEnds() if self._open:
                self._client.log(epoch_metrics(event), event.epoch)
            case TrialEnds():
                self._close_run(event.state, final_values(event))
            case None:
                self._close_run("PAUSED", {})

    def _close_run(self, state: str, values: Mapping[str, float]) -> None:
        if self._open:
            self._open = False
            self._client.end(state, values)


def epoch_metrics(event: EpochEnds) -> dict[str, float]:
    """Return the finite metrics of an epoch by names that both services take."""
    before = f"{event.fold.replace('/', ' of ')}/" if event.fold else ""
    return _fit({f"{before}loss": event.loss} | {f"{before}{name}": each for name, each in event.metrics.items()})


def final_values(event: TrialEnds) -> dict[str, float]:
    """Return the finite results of a trial: ``value``, ``value/2``, ..., and ``final/METRIC``."""
    values = {"value" if number == 1 else f"value/{number}": each for number, each in enumerate(event.values, 1)}
    return _fit(values | {f"final/{name}": each for name, each in event.metrics.items()})


def _fit(metrics: Mapping[str, float]) -> dict[str, float]:
    return {_UNFIT.sub("_", name): float(each) for name, each in metrics.items() if math.isfinite(each)}


class MlflowClient:
    """Runs of MLflow at a tracking URI; the experiment has the name of the study."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = None
        self._run = ""

    def begin(self, trial: TrialBegins) -> None:
        """Open the run with the trial's tags; its params are logged once."""
        if self._client is None:
            from mlflow.tracking import MlflowClient as Remote

            self._client = Remote(tracking_uri=self._uri)
        known = self._client.get_experiment_by_name(trial.study)
        experiment = self._client.create_experiment(trial.study) if known is None else known.experiment_id
        same = f"tags.`venation.key` = '{trial.key}'"
        if found := self._client.search_runs([experiment], same, max_results=1):
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        tags = {"venation.study": trial.study, "venation.trial": str(trial.number), "venation.key": trial.key}
        name = f"{trial.study} {trial.number}"
        self._run = self._client.create_run(experiment, run_name=name, tags=tags).info.run_id
        for param, value in trial.params.items():
            self._client.log_param(self._run, param, value)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics with the epoch as their step."""
        for name, value in metrics.items():
            self._client.log_metric(self._run, name, value, step=step)

    def end(self, state: str, values: Mapping[str, float]) -> None:
        """Write the final values, and the state as a tag and in MLflow's own words."""
        self.log(values, 0)
        self._client.set_tag(self._run, "venation.state", state)
        self._client.set_terminated(self._run, _MLFLOW_STATES.get(state, "KILLED"))


class WandbClient:
    """Runs of Weights & Biases in a project; the group is the study."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._run: Any = None

    def begin(self, trial: TrialBegins) -> None:
        """Open the run, whose id is that of the trial; it asks for no key on the terminal."""
        import wandb

        config = dict(trial.params) | {"venation.study": trial.study, "venation.trial": trial.number}
        self._run = wandb.init(
            project=self._project,
            id=trial.key,
            name=f"{trial.study} {trial.number}",
            group=trial.study,
            tags=[trial.study[:64], f"trial {trial.number}"],
            config=config,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, login_timeout=1, console="off"),
        )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics with the epoch as their step."""
        self._run.log(dict(metrics), step=step)

    def end(self, state: str, values: Mapping[str, float]) -> None:
        """Write the final values and the state to the run's summary."""
        self._run.summary.update({**values, "venation.state": state})
        self._run.finish(exit_code=int(state == "FAIL"))
