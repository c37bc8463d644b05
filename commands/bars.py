"""The progress of a command on stderr: bars on a terminal, now and then a line in a pipe."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from ..data.progress import Listener, Step, listening

if TYPE_CHECKING:
    from rich.progress import Task, TaskID
    from rich.text import Text

# Between two lines in a pipe.
LINE_SECONDS = 30.0


class StderrHandler(logging.Handler):
    """A log handler that writes to the present ``sys.stderr``, which bars replace by their own.

    Other libraries' remarks are left out; their warnings are shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(_is_worth_a_line)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.handleError(record)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return whether a record is ours, or more than a remark."""
    return record.levelno > logging.INFO or record.name.partition(".")[0] == __name__.partition(".")[0]


def on_terminal() -> bool:
    """Return whether stderr is a terminal that can redraw lines."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def shown_progress() -> Iterator[None]:
    """Show the progress of the work inside the block."""
    if on_terminal():
        with terminal_bars() as show, listening(show):
            yield
    else:
        with listening(LinePrinter()):
            yield


@contextmanager
def terminal_bars() -> Iterator[Listener]:
    """Yield a listener that draws a bar for each stage, with rate and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _rate_column())
    # Rich would send what is printed to the bars' terminal, also where stdout is a file or a pipe.
    redirect = sys.stdout.isatty()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), redirect_stdout=redirect) as bars:
        tasks: dict[str, TaskID] = {}

        def show(event: object) -> None:
            if not isinstance(event, Step):
                return
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(event.stage, total=event.total)
            elif event.done == 0:
                bars.reset(tasks[event.stage], total=event.total)  # another pass over images
            bars.update(tasks[event.stage], completed=event.done)

        yield show


class LinePrinter:
    """A listener that prints a line now and then, so that a log shows that work goes on."""

    def __init__(self, seconds: float = LINE_SECONDS) -> None:
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def __call__(self, event: object) -> None:
        """Print how far a stage is, if the last line is old enough."""
        if isinstance(event, Step) and 0 < event.done < event.total and time.monotonic() >= self._due:
            # A reader that went away (`2>&1 | head`) must not end the work.
            with suppress(OSError, ValueError):
                typer.echo(f"{event.stage}: {event.done} of {event.total}", err=True)
            self._due = time.monotonic() + self._seconds


def _rate_column() -> Any:
    """Return a column with the items per second; built here, because rich is imported late."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.3g}/s")

    return Rate()
