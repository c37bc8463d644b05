"""The artifact store on a slow disk."""

import io
from pathlib import Path

import pytest

from venation.chaos import slow_store
from venation.chaos.slow_store import SlowStore, set_delay
from venation.storage.artifacts import open_artifacts


def test_every_access_waits_as_long_as_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(slow_store.time, "sleep", waits.append)
    inner, delay, source = open_artifacts(str(tmp_path / "store")), tmp_path / "delay", tmp_path / "source"
    source.write_bytes(b"linked")
    store = SlowStore(inner, delay)
    store.write("a", io.BytesIO(b"bytes"))
    assert waits == [], "no file, no delay"
    set_delay(delay, 1.25)
    store.link("b", source)
    with store.open_reader("b") as linked, inner.open_reader("a") as written:
        assert linked.read() == b"linked" and written.read() == b"bytes"
    assert sorted(entry.artifact_id for entry in store.entries()) == ["a", "b"]
    store.remove("a")
    store.sweep()
    assert waits == [1.25] * 5 and [entry.artifact_id for entry in inner.entries()] == ["b"]
