"""Run SQL statements on a server, outside any transaction."""

import psycopg2


def execute(url: str, *statements: str) -> None:
    """Run ``statements`` one by one, each committed by itself."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
