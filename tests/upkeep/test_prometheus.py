"""Metrics of the service, read by Prometheus's parser, against Optuna and the history."""

import signal
from collections.abc import Callable
from datetime import datetime
from urllib.request import urlopen

import pytest
from optuna.trial import TrialState
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from small_bundle import EXPECTED_FAILURE, refuse, succeed
from sqlalchemy import create_engine, make_url, text
from study_helpers import StudyHarness, WorkerProcess

from venation.leases.claim import claim
from venation.leases.suspension import suspend_study
from venation.storage.attributes import HISTORY
from venation.storage.database import open_storage, study_lock
from venation.upkeep.prometheus import serve_registry, service_registry

Samples = dict[tuple[str, ...], float]


def parse(exposed: str) -> Samples:
    """Return samples by name and label values, in order of the labels' names."""
    families = text_string_to_metric_families(exposed)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_the_metrics_match_the_database(harness: StudyHarness, postgres_url: str) -> None:
    soy = harness.create("soy", trials=9)
    harness.create("wing", trials=3)
    for value in (0.5, 0.75):
        harness.end_next(soy, TrialState.COMPLETE, value)
    harness.end_next(soy, TrialState.FAIL)
    harness.end_next(soy, TrialState.WAITING)
    assert claim(soy, max_losses=3, device="cuda:1") is not None
    harness.silence()
    with study_lock(harness.storage, soy.id) as connection:
        suspend_study(connection, soy.id, "the disk is full")
    samples = parse(succeed("metrics", "--once", "--storage", postgres_url))
    counts = {"complete": 2, "fail": 1, "running": 1, "waiting": 0, "pruned": 0}
    assert {state: samples["venation_trials", state, "soy"] for state in counts} == counts
    # A budget of 9, 4 rows by now; of the other study, trial 0 waits and two more are to come.
    assert (samples["venation_queue_trials", "soy"], samples["venation_queue_trials", "wing"]) == (5, 3)
    assert (samples["venation_study_paused", "soy"], samples["venation_study_paused", "wing"]) == (1, 0)
    assert samples["venation_trial_silence_seconds", "soy"] == pytest.approx(3600, abs=60)
    assert ("venation_trial_silence_seconds", "wing") not in samples
    assert samples["venation_workers", "silent"] == 1 and samples["venation_workers", "busy"] == 0
    assert samples[("venation_database_up",)] == 1 and 0 < samples[("venation_database_latency_seconds",)] < 60


def test_seconds_of_every_attempt_count_by_device(harness: StudyHarness, postgres_url: str) -> None:
    soy = harness.create(trials=2)
    for device, state in (("cpu", TrialState.WAITING), ("cuda:0", TrialState.COMPLETE), ("cuda:3", TrialState.FAIL)):
        lease = claim(soy, max_losses=3, device=device)
        assert lease is not None
        lease.end(state, 0.5 if state == TrialState.COMPLETE else None)
    # An hour earlier than they began: attempts of moments would all be zero.
    earlier = 'regexp_replace(value_json, \'"started": "([^"]+)"\', \'"started": "2020-01-01T00:00:00+00:00"\', \'g\')'
    harness.sql(f"UPDATE trial_system_attributes SET value_json = {earlier} WHERE key = '{HISTORY.key}'")
    fresh = open_storage(postgres_url)
    expected = {"cpu": 0.0, "cuda": 0.0}
    for trial in fresh.get_all_trials(soy.id):
        for attempt in HISTORY.need(trial):
            ended, started = (datetime.fromisoformat(attempt[name]) for name in ("ended", "started"))
            expected[attempt["device"].split(":")[0]] += (ended - started).total_seconds()
    fresh.engine.dispose()
    samples = parse(generate_latest(service_registry(harness.storage)).decode())
    found = {device: samples["venation_device_seconds", device, "soy"] for device in expected}
    assert found == pytest.approx(expected) and expected["cuda"] > 1e8


def test_every_scrape_is_current_and_reports_a_database_that_is_down(harness: StudyHarness, postgres_url: str) -> None:
    soy = harness.create(trials=2)
    port = serve_registry(service_registry(harness.storage), host="127.0.0.1", port=0)

    def scrape() -> Samples:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            return parse(response.read().decode())

    assert scrape()["venation_trials", "complete", "soy"] == 0
    harness.end_next(soy, TrialState.COMPLETE, 0.5)
    assert scrape()["venation_trials", "complete", "soy"] == 1
    place = make_url(postgres_url)
    engine = create_engine(place.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS false"))
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(kill), {"name": place.database})
        assert scrape() == {("venation_database_up",): 0}
        connection.execute(text(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS true"))
    engine.dispose()
    assert scrape()[("venation_database_up",)] == 1


def test_the_command_serves_until_a_stop_signal(
    postgres_url: str, start_python: Callable[[str], WorkerProcess]
) -> None:
    arguments = ["venation", "metrics", "--port", "0", "--storage", postgres_url]
    served = start_python(f"import sys\nsys.argv = {arguments!r}\nfrom venation.cli import app\napp()")
    served.wait_until(lambda: served.log.exists() and "metrics on http://" in served.log.read_text())
    address = served.log.read_text().split("metrics on ")[1].split()[0]
    with urlopen(address, timeout=60) as response:
        assert parse(response.read().decode())[("venation_database_up",)] == 1
    refuse(
        EXPECTED_FAILURE,
        "metrics",
        "--port",
        address.split(":")[2].split("/")[0],
        "--storage",
        postgres_url,
        says=("cannot serve metrics on 127.0.0.1:", "choose another port"),
    )
    served.send(signal.SIGTERM)
    assert served.wait() == 0, served.log.read_text()
