"""Links that faults cut: the relay and the network namespace."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest

from venation.chaos.network import Namespace, Relay


@pytest.fixture
def relay(postgres_url: str) -> Iterator[Relay]:
    query = parse_qs(urlsplit(postgres_url).query)
    relay = Relay(Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}")
    yield relay
    relay.close()


def connect(relay: Relay, postgres_url: str) -> "psycopg2.extensions.connection":
    database = urlsplit(postgres_url).path.lstrip("/")
    return psycopg2.connect(host="127.0.0.1", port=relay.port, user="postgres", dbname=database)


def test_a_cut_relay_keeps_what_is_sent_until_it_is_restored(relay: Relay, postgres_url: str) -> None:
    connection = connect(relay, postgres_url)
    answers: list[int] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 42")
            answers.append(cursor.fetchone()[0])

    ask()
    relay.cut()
    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.5)
    assert asking.is_alive() and answers == [42]
    relay.restore()
    asking.join(30)
    assert answers == [42, 42]
    connection.close()


def test_a_refusing_relay_ends_old_and_new_connections(relay: Relay, postgres_url: str) -> None:
    connection = connect(relay, postgres_url)
    relay.refuse()
    with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        for _ in range(100):
            cursor.execute("SELECT pg_sleep(0.05)")
    with pytest.raises(psycopg2.OperationalError):
        connect(relay, postgres_url)
    relay.admit()
    connect(relay, postgres_url).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's")
def test_a_namespace_has_a_link_that_can_be_cut() -> None:
    try:
        namespace = Namespace(0)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"network namespaces are not allowed here: {error}")
    reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()"
    with socket.create_server((namespace.host, 0)) as server:
        command = ["ip", "netns", "exec", namespace.name, sys.executable, "-c", reach, namespace.host]
        command.append(str(server.getsockname()[1]))
        try:
            assert subprocess.run(command, capture_output=True).returncode == 0
            namespace.cut()
            assert subprocess.run(command, capture_output=True).returncode != 0
            namespace.restore()
            assert subprocess.run(command, capture_output=True).returncode == 0
        finally:
            namespace.close()
