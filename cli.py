"""The command line: all commands, and one line for an error that a user can cause."""

import io
import logging
import sys
from typing import Annotated, Any

import typer

from . import __version__
from .commands import (
    artifacts,
    bundle,
    chaos,
    dashboard,
    data,
    db,
    demo,
    metrics,
    migrate,
    plan,
    predict,
    report,
    reproduce,
    serve,
    signal,
    simulate,
    study,
    study_create,
    top,
    trial,
    try_data,
    worker,
)
from .commands.bars import StderrHandler
from .commands.db_errors import explain_damage, explain_outage
from .commands.groups import HeadingGroup
from .errors import UserError
from .escaping import PrintableFormatter, one_line

_NOISY = (
    "alembic",
    "botocore",
    "httpcore",
    "httpx",
    "huggingface_hub",
    "matplotlib",
    "onnx_ir",
    "onnxscript",
    "timm",
    "torch",
)
_PREDICTS_ONLY = (
    "this command needs `{}`, which a light installation lacks: `pip install 'venation[search]'` adds training and"
    " search to `venation predict`."
)
_RENAMED = {"workers": "worker list", "reaper": "worker reap", "simulate": "study simulate"}


class _Root(HeadingGroup):
    """The root of the command tree: it turns an expected error into one line and an exit code."""

    headings = {
        "Start": ("demo", "try", "data", "study", "worker", "bundle", "predict", "serve"),
        "Inspect": ("top", "trial", "reproduce", "evaluate", "report", "dashboard"),
        "Operate": ("db", "artifacts", "metrics"),
        "Research": ("chaos",),
    }

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Replace the old name of a moved command, with one line on stderr."""
        if new := _RENAMED.get(args[0]):
            typer.echo(f"`venation {args[0]}` is now `venation {new}`; the old name goes away in 0.3", err=True)
            args = [*new.split(), *args[1:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print expected errors without a traceback."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise
        except UserError as error:
            typer.echo(f"Error: {one_line(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from None
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith(__package__):
                raise
            typer.echo(f"Error: {_PREDICTS_ONLY.format(error.name.partition('.')[0])}", err=True)
            raise typer.Exit(UserError.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            message = explain_outage(error) or explain_damage(error)
            if message is None:
                raise
            typer.echo(f"Error: {one_line(message)}", err=True)
            raise typer.Exit(UserError.exit_code) from None


app = typer.Typer(
    help="AutoML search for ultra-fine-grained images: search, train, watch, export, predict.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=_Root,
)
study.app.command("create", epilog=study_create.EXAMPLES)(study_create.study_create)
study.app.command("plan")(plan.study_plan)
study.app.command("migrate")(migrate.study_migrate)
study.app.command("signal")(signal.study_signal)
study.app.command("simulate")(simulate.study_simulate)
app.command()(demo.demo)
app.command("try", epilog=try_data.TRY_EXAMPLES)(try_data.try_data)
app.add_typer(data.app, name="data")
app.add_typer(study.app, name="study")
app.add_typer(worker.app, name="worker")
app.add_typer(bundle.app, name="bundle")
app.command(epilog=predict.PREDICT_EXAMPLES)(predict.predict)
app.command(epilog=predict.EVALUATE_EXAMPLES)(predict.evaluate)
app.command(epilog=serve.SERVE_EXAMPLES)(serve.serve)
app.add_typer(trial.app, name="trial")
app.command(epilog=report.REPORT_EXAMPLES)(report.report)
app.command(epilog=reproduce.REPRODUCE_EXAMPLES)(reproduce.reproduce)
app.command()(top.top)
app.command()(dashboard.dashboard)
app.command()(metrics.metrics)
app.add_typer(db.app, name="db")
app.add_typer(artifacts.app, name="artifacts")
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names need not be UTF-8.
            stream.reconfigure(errors="backslashreplace")
    handler = StderrHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    app()
