"""The command line, put together: nouns from `commands/`, one line for an error that a user can cause."""

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__
from .commands import (
    artifacts,
    bundle,
    chaos,
    data,
    db,
    logs,
    metrics,
    migrate,
    oneshot,
    plan,
    predict,
    reaper,
    resume,
    run,
    signal,
    simulate,
    study,
    study_create,
    trial,
    workers,
)
from .commands.db_errors import explain_outage
from .errors import UserError

_NOISY = ("alembic", "botocore", "httpcore", "httpx", "huggingface_hub", "onnx_ir", "onnxscript", "timm", "torch")


class _Group(TyperGroup):
    """Turns an error that a user can cause into one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            told = explain_outage(error)
            if told is None:
                raise
            typer.echo(f"Error: {told}", err=True)
            raise typer.Exit(UserError.exit_code) from None


app = typer.Typer(
    help="AutoML search for ultra-fine-grained images: search, train, watch, export, predict.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=_Group,
)
app.command()(run.demo)
app.add_typer(data.app, name="data")
study.app.command("create")(study_create.study_create)
study.app.command("plan")(plan.study_plan)
study.app.command("resume")(resume.study_resume)
study.app.command("signal")(signal.study_signal)
study.app.command("oneshot")(oneshot.study_oneshot)
study.app.command("migrate")(migrate.study_migrate)
app.add_typer(study.app, name="study")
trial.app.command("logs")(logs.trial_logs)
app.add_typer(trial.app, name="trial")
app.command()(run.worker)
app.command()(reaper.reaper)
app.command()(workers.workers)
app.command()(metrics.metrics)
app.command()(run.dashboard)
app.command()(simulate.simulate)
app.add_typer(bundle.app, name="bundle")
app.command()(predict.predict)
app.command()(predict.evaluate)
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(db.app, name="db")
app.command()(chaos.chaos)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """AutoML search for ultra-fine-grained images: search, train, watch, export, predict."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    app()
