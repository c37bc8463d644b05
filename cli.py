"""The command line, put together: nouns from `commands/`, one line for an error that a user can cause."""

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__
from .commands import bundle, data, db, infer, migrate, plan, run, signal, simulate, study, trial
from .errors import UserError

_NOISY = ("alembic", "httpcore", "httpx", "huggingface_hub", "onnx_ir", "onnxscript", "timm", "torch")


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


app = typer.Typer(
    help="AutoML search for ultra-fine-grained images: search, train, watch, export, predict.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=_Group,
)
app.command()(run.demo)
app.add_typer(data.app, name="data")
study.app.command("plan")(plan.study_plan)
study.app.command("signal")(signal.study_signal)
study.app.command("migrate")(migrate.study_migrate)
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.command()(run.worker)
app.command()(run.dashboard)
app.command()(simulate.simulate)
app.add_typer(bundle.app, name="bundle")
app.command()(infer.predict)
app.command()(infer.evaluate)
app.add_typer(db.app, name="db")


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
