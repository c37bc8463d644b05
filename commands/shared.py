"""Arguments, options and helpers that several commands share."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from ..search.handle import StudyHandle
    from ..storage.artifacts import Artifacts

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]
StudyNames = Annotated[list[str], typer.Argument(metavar="STUDY", help="Names of one or more studies.")]
TrialNumber = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="Folder or CSV file of the images.")]
DataOverride = Annotated[
    Path | None,
    typer.Option(help="Folder or CSV file of the same images on this machine [default: the path that the study has]."),
]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or .zip file of the bundle.")]
OutBundle = Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip file to create.")]
StorageUrl = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="VENATION_STORAGE",
        show_envvar=True,
        help="PostgreSQL URL of the studies [default: an embedded server].",
    ),
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        envvar="VENATION_ARTIFACTS",
        show_envvar=True,
        help="Folder or URL for the files of trials [default: a folder of this machine].",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Device = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda or cuda:N.")]


def open_database(
    storage: str | None, *, session: str = "venation", reading: bool = False, create: bool = True
) -> "RDBStorage":
    """Open the database of the studies, after starting the embedded server if there is no URL.

    The connections are named ``session``. Without ``create`` a database without tables is an error. Commands that only
    read pass ``reading``: Optuna reads a trial by several statements, and one snapshot for all of them keeps a study
    that is deleted in between from being seen in part.
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
    """Open the database and the artifact store."""
    from ..storage.artifacts import open_artifacts

    return open_database(storage, session=session), open_artifacts(artifacts)


def open_to_write(
    storage: str | None, artifacts: str | None, *, session: str = "venation"
) -> "tuple[RDBStorage, Artifacts]":
    """Open the database and the artifact store for writing, and mark the store as used by this database.

    Raises UserError if one of them is read-only, before any work is done.
    """
    from ..storage.owner_markers import write_marker
    from ..storage.store_protocol import check_writable
    from ..upkeep.doctor import check_rights

    database, store = open_both(storage, artifacts, session=session)
    check_rights(database)
    check_writable(store)
    write_marker(store, database)
    return database, store


def open_named_study(storage: str | None, name: str, *, reading: bool = True) -> "StudyHandle":
    """Open the study ``name``, for reading only by default."""
    from ..studies.registry import open_study

    return open_study(open_database(storage, reading=reading), name)


def print_result(rows: Any, as_json: bool) -> None:
    """Print a list of rows as a table and one mapping as lines, or either as JSON."""
    from .printing import print_rows

    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    else:
        print_rows(rows)
