"""What the commands share: arguments and options, the stores they open, and how they print."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from ..search.handle import StudyHandle
    from ..storage.artifacts import Artifacts

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]
StudyNames = Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="Folder or CSV file of the images.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or .zip of the bundle.")]
StorageUrl = Annotated[
    str | None,
    typer.Option(
        "--storage", envvar="VENATION_STORAGE", show_envvar=True, help="PostgreSQL URL; unset: an embedded server."
    ),
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option(
        "--artifacts", envvar="VENATION_ARTIFACTS", show_envvar=True, help="Where files of trials go; unset: a folder."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def new_group(text: str) -> typer.Typer:
    """A noun with its verbs; plain help, because Rich's markup eats square brackets."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)


def open_database(
    storage: str | None, *, session: str = "venation", reading: bool = False, create: bool = True
) -> "RDBStorage":
    """The database of the studies, the embedded one started if need be; its connections are named ``session``.

    Without ``create`` a database without tables is refused. With ``reading``, for who writes nothing, trials are
    seen whole or not at all: Optuna reads them by several statements, between which a study may be deleted.
    """
    import optuna

    from ..storage.database import open_storage
    from ..storage.urls import resolve_url

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = open_storage(resolve_url(storage), name=session, create=create)
    if reading:
        database.engine.update_execution_options(isolation_level="REPEATABLE READ")
    return database


def open_both(
    storage: str | None, artifacts: str | None, *, session: str = "venation"
) -> "tuple[RDBStorage, Artifacts]":
    """The database and the artifact store."""
    from ..storage.artifacts import open_artifacts

    return open_database(storage, session=session), open_artifacts(artifacts)


def open_to_write(
    storage: str | None, artifacts: str | None, *, session: str = "venation"
) -> "tuple[RDBStorage, Artifacts]":
    """The database and the artifact store, which bears the database's mark from then on.

    Raises UserError if one of them takes no writes, before any work is done.
    """
    from ..storage.owner_markers import leave_mark
    from ..storage.store_protocol import check_writable
    from ..upkeep.doctor import check_rights

    database, store = open_both(storage, artifacts, session=session)
    check_rights(database)
    check_writable(store)
    leave_mark(store, database)
    return database, store


def open_named_study(storage: str | None, name: str, *, reading: bool = True) -> "StudyHandle":
    """The study ``name``, to be looked at if not said otherwise."""
    from ..studies.registry import open_study

    return open_study(open_database(storage, reading=reading), name)


def print_result(rows: Any, as_json: bool) -> None:
    """A list of rows as a table, one mapping as lines, anything as JSON when asked."""
    from .printing import print_rows

    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    else:
        print_rows(rows)
