"""`venation db`: create, start, stop and check the database."""

from typing import Annotated

import typer

from .groups import new_group
from .shared import ArtifactsUrl, AsJson, StorageUrl, open_database, print_result

app = new_group("Create, start, stop and check the database: embedded PostgreSQL, or your own server.")


@app.command("init")
def db_init(
    roles: Annotated[
        bool,
        typer.Option(
            "--roles",
            help="Also create the roles venation_viewer, venation_worker and venation_owner, to GRANT to users.",
        ),
    ] = False,
    storage: StorageUrl = None,
) -> None:
    """Create the tables, or update those of an earlier version.

    Safe to repeat, and to run on many machines at once.
    """
    from ..redaction import redact
    from ..storage.database import init_db
    from ..storage.urls import resolve_url
    from ..upkeep.move_records import move_records
    from ..wording import counted

    url = resolve_url(storage)
    made = init_db(url, roles=roles)
    if made:
        typer.echo(f"roles to GRANT to users: {', '.join(made)}", err=True)
    if moved := move_records(open_database(url)):
        typer.echo(
            f"moved the records of {counted(moved, 'ended trial')} from the attributes that the dashboard shows",
            err=True,
        )
    typer.echo(redact(url))


@app.command("start")
def db_start() -> None:
    """Start the embedded PostgreSQL and print its URL."""
    from ..storage import embedded

    typer.echo(embedded.start())


@app.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL; the studies stay on disk."""
    from ..storage import embedded

    typer.echo("stopped" if embedded.stop() else "was not running")


@app.command("status")
def db_status(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show the version, studies, trials and connections of the database."""
    from ..storage.server_status import server_status
    from ..storage.urls import resolve_url

    print_result(dict(server_status(resolve_url(storage))), as_json)


@app.command("doctor")
def db_doctor(
    workers: Annotated[int, typer.Option(min=0, help="Number of worker processes that will run at once.")] = 8,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check the database and this machine for settings that lose work, with advice.

    Exit 1 if one is bad.
    """
    from ..storage import embedded
    from ..storage.artifacts import open_artifacts
    from ..upkeep.doctor import examine

    database, store = open_database(storage, create=False), open_artifacts(artifacts)
    places = {"disk": embedded.home()}
    folder = getattr(store, "folder", None)
    if folder is not None:
        places["artifact disk"] = folder
    rows = examine(database, workers=workers, places=places)
    print_result(rows, as_json)
    if any(row["verdict"] == "bad" for row in rows):
        raise typer.Exit(1)
