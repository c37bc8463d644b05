"""The state of a database server in numbers."""

from typing import TypedDict

from sqlalchemy import text

from ..redaction import redact
from .database import connected
from .schema import schema_revision


class ServerStatus(TypedDict):
    """The result of ``venation db status``; ``schema`` is None before ``init_db``."""

    url: str
    version: str
    schema: str | None
    studies: int
    trials: dict[str, int]
    connections: int
    max_connections: int


def server_status(url: str) -> ServerStatus:
    """Return the server's version, connections, studies and trials. Raises UserError."""
    with connected(url) as connection:
        schema = schema_revision(connection)
        states: dict[str, int] = {}
        studies = 0
        if schema is not None:
            studies = connection.scalar(text("SELECT count(*) FROM studies")) or 0
            rows = connection.execute(text("SELECT state::text, count(*) FROM trials GROUP BY 1 ORDER BY 1"))
            states = {str(state).lower(): int(count) for state, count in rows}
        sessions = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return ServerStatus(
            url=redact(url),
            version=str(connection.scalar(text("SHOW server_version"))).split()[0],
            schema=schema,
            studies=studies,
            trials=states,
            connections=(connection.scalar(sessions) or 1) - 1,
            max_connections=int(connection.scalar(text("SHOW max_connections")) or 0),
        )
