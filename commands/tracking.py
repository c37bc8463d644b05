"""The options of `venation worker` that tell MLflow and Weights & Biases of its trials."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Annotated

import typer

from ..data.progress import listening
from ..errors import UserError


def _installed(context: typer.Context, option: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse a service whose package is missing, before anything starts."""
    name = str(option.name)
    if value and not context.resilient_parsing and find_spec(name) is None:
        raise UserError(f'--{name} needs the package {name}; run pip install "venation[{name}]".')
    return value


MlflowUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        envvar="VENATION_MLFLOW",
        show_envvar=True,
        callback=_installed,
        help="Also write trials to the MLflow of this tracking URI; needs `venation[mlflow]` [default: none].",
    ),
]
WandbProject = Annotated[
    str | None,
    typer.Option(
        metavar="PROJECT",
        envvar="VENATION_WANDB",
        show_envvar=True,
        callback=_installed,
        help="Also write trials to this project of Weights & Biases; needs `venation[wandb]` [default: none].",
    ),
]


@contextmanager
def tracked_trials(mlflow: str | None, wandb: str | None) -> Iterator[None]:
    """Tell the services of the trials of the block."""
    with ExitStack() as stack:
        if mlflow or wandb:
            from ..workers.trackers import MlflowClient, Tracker, WandbClient

            clients = {"--mlflow": mlflow and MlflowClient(mlflow), "--wandb": wandb and WandbClient(wandb)}
            for name, client in clients.items():
                if client:
                    tracker = Tracker(name, client)
                    stack.callback(tracker.close)
                    stack.enter_context(listening(tracker))
        yield
