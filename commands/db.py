"""`venation db`: the embedded PostgreSQL, or a server of your own."""

import typer

from .options import AsJson, StorageUrl, new_group, print_result

app = new_group("The database: embedded PostgreSQL, or a server of your own.")


@app.command("init")
def db_init(storage: StorageUrl = None) -> None:
    """Create the tables; safe to run from many machines at once, and again."""
    from ..storage.database import init_db
    from ..storage.urls import redact, resolve_url

    url = resolve_url(storage)
    init_db(url)
    typer.echo(redact(url))


@app.command("start")
def db_start() -> None:
    """Start the embedded PostgreSQL and print its URL."""
    from ..storage import embedded

    typer.echo(embedded.start())


@app.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL; its studies stay on disk."""
    from ..storage import embedded

    typer.echo("stopped" if embedded.stop() else "was not running")


@app.command("status")
def db_status(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show the database's version, studies, trials and connections."""
    from ..storage.database import server_status
    from ..storage.urls import resolve_url

    print_result(dict(server_status(resolve_url(storage))), as_json)
