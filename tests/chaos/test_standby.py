"""A failover of the embedded server to a standby, seen by clients that stay open."""

from pathlib import Path

from sqlalchemy import text

from venation.chaos.network import Relay
from venation.chaos.sandbox import temporary_home
from venation.chaos.standby import fail_over, server_socket
from venation.storage import embedded
from venation.storage.database import init_db, open_storage


def both_hosts(home: Path, other: Path) -> str:
    """Return a URL with the servers of two homes, of which only the primary is wanted."""
    hosts = f"host={other / 'postgres'}&host={home / 'postgres'}"
    return f"postgresql://{embedded.USER}@/{embedded.DATABASE}?{hosts}&target_session_attrs=read-write"


def test_a_standby_takes_over_with_every_confirmed_transaction() -> None:
    with temporary_home(lambda: False) as home:
        other = home / "standby"
        other.mkdir()
        relay = Relay(server_socket(embedded.start()))
        init_db(embedded.start())
        through_relay = open_storage(f"postgresql://{embedded.USER}@127.0.0.1:{relay.port}/{embedded.DATABASE}")
        by_hosts = open_storage(both_hosts(home, other))
        storages = (through_relay, by_hosts)
        try:
            with through_relay.engine.begin() as connection, by_hosts.engine.connect() as other_session:
                connection.execute(text("CREATE TABLE kept (number int)"))
                assert other_session.scalar(text("SELECT 1")) == 1
            relay.lead_to(fail_over((home, other)))
            promoted = embedded.status()
            assert promoted is not None and promoted["folder"] == str(other / "postgres")
            # A standby would refuse to write, and a client of the dead primary must connect again.
            for number, storage in enumerate(storages):
                with storage.engine.begin() as connection:
                    connection.execute(text("INSERT INTO kept VALUES (:number)"), {"number": number})
            with through_relay.engine.connect() as connection:
                assert connection.execute(text("SELECT number FROM kept ORDER BY 1")).scalars().all() == [0, 1]
            assert embedded.stop() and embedded.start() == promoted["url"], "it starts as any other"
        finally:
            for storage in storages:
                storage.engine.dispose()
            relay.close()
