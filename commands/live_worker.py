"""The live display of a worker on a terminal: trial, epoch, rate, memory, time left, best."""

import logging
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from optuna.trial import TrialState
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..data.progress import Step, listening
from ..leases.budget import count_states, read_budget
from ..leases.lease import DATABASE_ERRORS
from ..search.handle import StudyHandle
from ..studies.summary import describe_best, progress
from ..wording import duration
from ..workers.events import EpochEnds, TrialBegins, TrialEnds
from .printing import format_settings

# Between two looks at the study, whose trials other workers end too.
_LOOK_SECONDS = 5.0
_BAR = 40


@contextmanager
def live_worker(handles: Sequence[StudyHandle], console: Console | None = None) -> Iterator["LiveWorker"]:
    """Show the work inside the block in place of the log lines of trials and epochs."""
    view = LiveWorker(handles)
    console = console or Console(stderr=True)
    root = logging.getLogger()
    with Live(view, console=console, refresh_per_second=4, transient=True), listening(view.tell):
        for handler in root.handlers:
            handler.addFilter(_not_shown)
        try:
            yield view
        finally:
            for handler in root.handlers:
                handler.removeFilter(_not_shown)


def _not_shown(record: logging.LogRecord) -> bool:
    return not getattr(record, "shown_live", False)


class LiveWorker:
    """The state of a worker's display; ``tell`` takes the worker's events.

    The display is drawn by another thread, which reads the state and never the database.
    """

    def __init__(self, handles: Sequence[StudyHandle]) -> None:
        self._handles = {handle.study.study_name: handle for handle in handles}
        self._trial: TrialBegins | None = None
        self._epoch: EpochEnds | None = None
        self._step: Step | None = None
        self._best: float | None = None
        self._began = self._epoch_began = self._step_began = time.monotonic()
        self._epoch_seconds: list[float] = []
        self._trial_seconds: dict[str, list[float]] = {}
        self._rate = 0.0
        self._study, self._left, self._looked = "", "", 0.0

    def tell(self, event: object) -> None:
        """Take an event of the worker."""
        now = time.monotonic()
        match event:
            case TrialBegins():
                self._trial, self._epoch, self._best = event, None, None
                self._began, self._epoch_seconds = now, []
                self._look(event.study, at_once=True)
            case Step():
                if event.done == 0:
                    self._step_began = now
                elif event.stage == "training" and now > self._step_began:
                    self._rate = event.done / (now - self._step_began)
                self._step = event
            case EpochEnds():
                self._epoch = event
                self._epoch_seconds.append(event.seconds)
                if self._trial is not None:
                    self._keep_best(event)
                    self._look(self._trial.study)
            case TrialEnds():
                self._trial_seconds.setdefault(event.study, []).append(now - self._began)
                self._trial = None
                self._look(event.study, at_once=True)

    def __rich__(self) -> RenderableType:
        """Return the display."""
        trial = self._trial
        if trial is None:
            return Text(f"waiting for a trial of {', '.join(self._handles)}\n{self._study}", overflow="ellipsis")
        lines: list[RenderableType] = [
            Text.assemble((f"study {trial.study}, trial {trial.number}", "bold"), f"   {self._left}"),
            Text(format_settings(trial.params), style="dim", overflow="fold"),
        ]
        if trial.epochs:
            lines += [self._bar(trial.epochs), Text(self._figures(trial.epochs), overflow="ellipsis")]
        return Group(*lines, Text(self._study, overflow="fold"))

    def _bar(self, epochs: int) -> RenderableType:
        done = self._epoch.epoch if self._epoch else 0
        part, step = 0.0, self._step
        if step is not None and step.stage == "training" and step.total and done < epochs:
            part = step.done / step.total
        fold = f"{self._epoch.fold}, " if self._epoch and self._epoch.fold else ""
        stage = "" if step is None else f"  {step.stage} {step.done}/{step.total}"
        row = Table.grid(padding=(0, 1))
        label = f"{fold}epoch {min(done + 1, epochs)}/{epochs}"
        row.add_row(label, ProgressBar(total=epochs, completed=min(epochs, done + part), width=_BAR), stage)
        return row

    def _figures(self, epochs: int) -> str:
        epoch, took = self._epoch, self._epoch_seconds
        parts = []
        if epoch is not None:
            best = "" if self._best is None else f" (best {self._best:.4g})"
            parts += [f"loss {epoch.loss:.4g}", f"{epoch.objective} {epoch.value:.4g}{best}"]
        parts += [f"{self._rate:.3g} images/s"] if self._rate else []
        parts += [f"memory {used_memory()}"]
        if epoch is not None and took:
            left = (epochs - epoch.epoch) * statistics.fmean(took)
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def _keep_best(self, event: EpochEnds) -> None:
        assert self._trial is not None
        handle = self._handles.get(self._trial.study)
        better = min if handle is not None and handle.spec.direction == "minimize" else max
        self._best = event.value if self._best is None else better(self._best, event.value)

    def _look(self, name: str, *, at_once: bool = False) -> None:
        """Read the study's progress and its best trial, at most now and then."""
        now, handle = time.monotonic(), self._handles.get(name)
        if handle is None or (not at_once and now - self._looked < _LOOK_SECONDS):
            return
        self._looked = now
        # The display must not end the work: the worker itself handles an outage, or a deletion.
        with suppress(KeyError, *DATABASE_ERRORS):
            best = describe_best(handle)
            self._study = f"{progress(handle)}\n" + (f"best so far: {best}" if best else "no finished trial yet")
            self._left = self._study_left(handle)

    def _study_left(self, handle: StudyHandle) -> str:
        took, trials = self._trial_seconds.get(handle.study.study_name), read_budget(handle).trials
        if not took or trials is None:
            return ""
        counts = count_states(handle)
        running = max(1, counts.get(TrialState.RUNNING, 0))
        ended = sum(number for state, number in counts.items() if state.is_finished())
        return f"the study: about {duration((trials - ended) * statistics.fmean(took) / running)} left"


def used_memory() -> str:
    """Return the memory that the worker uses: of the GPU, if it computes there, else of itself."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        return f"{(total - free) / 2**30:.1f} of {total / 2**30:.0f} GiB of the GPU"
    import psutil

    return f"{psutil.Process(os.getpid()).memory_info().rss / 2**30:.1f} GiB"
