"""Roles of the database, so that each user has only the rights that the work needs."""

from collections.abc import Mapping

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from ..errors import UserError

VIEWER, WORKER, OWNER = "venation_viewer", "venation_worker", "venation_owner"
# What a user does who lacks a right.
ADVICE = "connect as the owner of the tables, or GRANT the user a role of `venation db init --roles`"

_WRITE = ("INSERT", "UPDATE")
# The rights of a worker beyond reading, by table. It locks a study's row, which takes UPDATE, and
# removes attributes; it makes and deletes no study.
WORKER_RIGHTS: Mapping[str, tuple[str, ...]] = {
    "studies": ("UPDATE",),
    "study_user_attributes": (*_WRITE, "DELETE"),
    "study_system_attributes": (*_WRITE, "DELETE"),
    "trials": _WRITE,
    "trial_params": _WRITE,
    "trial_values": _WRITE,
    "trial_intermediate_values": _WRITE,
    "trial_heartbeats": _WRITE,
    "trial_user_attributes": (*_WRITE, "DELETE"),
    "trial_system_attributes": (*_WRITE, "DELETE"),
}


def create_roles(connection: Connection) -> tuple[str, ...]:
    """Create the three roles and give them their rights; return their names.

    A viewer reads. A worker also claims and writes trials. An owner also makes, changes and deletes
    studies. A role cannot log in: GRANT it to users. Safe to repeat. Tables must exist.
    Raises UserError if the user of ``connection`` may not create roles.
    """
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    try:
        for role in (VIEWER, WORKER, OWNER):
            if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
                connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
        for statement in _statements(schema):
            connection.execute(text(statement))
    except ProgrammingError as error:
        if type(error.orig).__name__ != "InsufficientPrivilege":
            raise
        user = connection.engine.url.username
        raise UserError(
            f"user {user} may not create roles or give rights; run `venation db init --roles` once as an administrator"
            " of the server who owns the tables, or ALTER ROLE the user CREATEROLE (an embedded server needs no roles)"
        ) from None
    return VIEWER, WORKER, OWNER


def _statements(schema: str) -> list[str]:
    everything = f"ALL TABLES IN SCHEMA {schema}"
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {VIEWER}",
        f"GRANT SELECT ON {everything} TO {VIEWER}",
        f"GRANT {VIEWER} TO {WORKER}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {WORKER}",
        *(f"GRANT {', '.join(rights)} ON {table} TO {WORKER}" for table, rights in WORKER_RIGHTS.items()),
        f"GRANT {WORKER} TO {OWNER}",
        f"GRANT INSERT, UPDATE, DELETE ON {everything} TO {OWNER}",
    ]
