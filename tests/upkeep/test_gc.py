"""Verification and garbage collection of artifacts: orphans, eviction order, files that stay."""

import inspect
import io
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse, rows, succeed, venation
from sqlalchemy import Connection
from study_helpers import StudyHarness, WorkerProcess

from venation.bundles.record import WEIGHTS
from venation.commands.artifacts import artifacts_gc
from venation.errors import UserError
from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.storage.artifacts import get_file, list_files, put_file, record_file, remove_blob, store_file, write_blob
from venation.storage.folder import FolderStore
from venation.storage.owner_markers import marker_id
from venation.storage.store_protocol import has_artifact
from venation.studies.ensemble import POOL
from venation.studies.registry import best_trial, checkpoint_id, delete_study
from venation.upkeep.gc import KEEP, GcResult, collect_garbage
from venation.upkeep.orphans import verify_store

KB = 1000
EndTrial = Callable[..., int]


@pytest.fixture
def end_trial(harness: StudyHarness, tmp_path: Path) -> EndTrial:
    """Return a function that ends a study's next trial with files of given names and size."""

    def end(handle: StudyHandle, state: TrialState, value: float | None = None, size: int = KB, *names: str) -> int:
        lease = claim(handle, max_losses=3)
        assert lease is not None

        def record(_: Connection) -> None:
            for name in names or ("weights",):
                path = tmp_path / name
                path.write_bytes(os.urandom(size if name in ("weights", WEIGHTS) else 10))
                put_file(harness.artifacts, lease.trial, path)

        lease.end(state, value, record=record)
        return lease.trial.number

    return end


def stored_ids(harness: StudyHarness) -> set[str]:
    return {entry.artifact_id for entry in harness.artifacts.entries()}


def recorded_files(harness: StudyHarness, handle: StudyHandle, number: int) -> list[Any]:
    trial = handle.study.get_trials(deepcopy=False)[number]
    return optuna.artifacts.get_all_artifact_meta(trial, storage=harness.storage)


def make_older(harness: StudyHarness, *names: str, hours: float = 48) -> None:
    """Set the age of the named files, or of all, in hours."""
    for name in names or tuple(stored_ids(harness)):
        os.utime(harness.artifacts.folder / name, (time.time() - hours * 3600,) * 2)


def evicted(found: GcResult) -> list[tuple[int | None, str]]:
    return [(file.record.number, file.record.file.filename) for file in found.files]


def total_size(harness: StudyHarness) -> int:
    return sum(entry.size for entry in harness.artifacts.entries())


def is_sound(harness: StudyHarness) -> bool:
    return verify_store(harness.storage, harness.artifacts).sound


def test_gc_removes_orphans_and_keeps_files_in_use(harness: StudyHarness, end_trial: EndTrial, tmp_path: Path) -> None:
    handle, other = harness.create(trials=4), harness.create("maize", trials=4)
    end_trial(handle, TrialState.COMPLETE, 0.5)
    running = claim(handle, max_losses=3)
    assert running is not None
    path = tmp_path / "bytes"
    path.write_bytes(b"bytes")
    ended, alive, later = (checkpoint_id(handle, number) for number in (0, 1, 2))
    asked = checkpoint_id(other, 0, 2)
    claim(other, max_losses=3)
    deleted = "0" * 32 + "-0-checkpoint"
    for blob in (ended, alive, later, asked, deleted, "notes.txt"):
        write_blob(harness.artifacts, blob, path)
        path = path.rename(path.with_name(blob))
        path.write_bytes(b"bytes")
    lost, fresh = store_file(harness.artifacts, path).artifact_id, store_file(harness.artifacts, path)
    before = stored_ids(harness)
    make_older(harness)
    make_older(harness, fresh.artifact_id, hours=1)
    planned = collect_garbage(harness.storage, harness.artifacts, dry_run=True)
    assert stored_ids(harness) == before
    # Trial 2 does not exist, so its checkpoint is an orphan.
    assert {orphan.entry.artifact_id for orphan in planned.orphans} == {ended, later, deleted, lost}
    found = collect_garbage(harness.storage, harness.artifacts)
    assert found.orphans == planned.orphans and before - stored_ids(harness) == {ended, later, deleted, lost}
    assert (found.removed, found.left) == (20, total_size(harness))
    # Record the fresh upload.
    record_file(running.trial, fresh)
    make_older(harness)
    assert collect_garbage(harness.storage, harness.artifacts).orphans == [] and is_sound(harness)


def test_fresh_uploads_stay_even_with_a_minimum_age_of_zero(
    harness: StudyHarness, postgres_url: str, tmp_path: Path
) -> None:
    lease = claim(harness.create(), max_losses=3)
    assert lease is not None
    (tmp_path / WEIGHTS).write_bytes(b"bytes")
    file = store_file(harness.artifacts, tmp_path / WEIGHTS)
    gc = ("artifacts", "gc", "--min-age", "0", "--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    make_older(harness, file.artifact_id, hours=0.9)
    assert rows(*gc)["removed"] == 0
    lease.end(TrialState.COMPLETE, 0.5, record=lambda _: record_file(lease.trial, file))
    assert is_sound(harness)
    lost = store_file(harness.artifacts, tmp_path / WEIGHTS).artifact_id
    make_older(harness, lost, hours=1.1)
    assert [row["artifact"] for row in rows(*gc)["rows"]] == [lost] and is_sound(harness)


def test_gc_keeps_the_candidates_of_an_ensemble() -> None:
    default = inspect.signature(artifacts_gc).parameters["keep"].default
    assert default == KEEP == POOL


def test_a_budget_evicts_failed_then_pruned_then_worse_trials(harness: StudyHarness, end_trial: EndTrial) -> None:
    handle = harness.create(trials=12)
    for value in (0.5, 0.9, 0.1, 0.8):
        end_trial(handle, TrialState.COMPLETE, value, KB, "weights", "metrics")
    end_trial(handle, TrialState.PRUNED)
    end_trial(handle, TrialState.FAIL)
    full = total_size(harness)
    order = [(5, "weights"), (4, "weights"), (2, "weights"), (2, "metrics"), (0, "weights"), (0, "metrics")]
    for number, budget in ((1, full - 1), (2, full - 2 * KB), (3, full - 3 * KB), (5, full - 4 * KB)):
        plan = collect_garbage(harness.storage, harness.artifacts, budget=budget, keep=2, dry_run=True)
        assert evicted(plan) == order[:number] and plan.left <= budget
    done = collect_garbage(harness.storage, harness.artifacts, budget=full - 2 * KB, keep=2)
    assert evicted(done) == order[:2] and done.left == total_size(harness) == full - 2 * KB
    assert is_sound(harness)
    assert recorded_files(harness, handle, 5) == []
    assert len(recorded_files(harness, handle, 2)) == 2


def test_the_best_trials_of_every_study_and_every_base_stay(
    harness: StudyHarness, end_trial: EndTrial, tmp_path: Path
) -> None:
    soy, maize = harness.create(trials=4), harness.create("maize", trials=3, objective="logloss")
    for value in (0.2, 0.4, 0.6, 0.8):
        end_trial(soy, TrialState.COMPLETE, value, KB, WEIGHTS)
    for value in (0.2, 0.4, 0.6):
        end_trial(maize, TrialState.COMPLETE, value)
    harness.create("veins", "decoder", base="soy:1")
    with pytest.raises(UserError, match=r"cannot be met: .* must stay .*--budget \d+. or more") as caught:
        collect_garbage(harness.storage, harness.artifacts, budget=KB, keep=1)
    assert "\n" not in str(caught.value) and len(verify_store(harness.storage, harness.artifacts).findings) == 10
    least = total_size(harness) - 4 * KB
    done = collect_garbage(harness.storage, harness.artifacts, budget=least, keep=1)
    assert sorted((f.record.study, f.record.number) for f in done.files) == [
        ("maize", 1),
        ("maize", 2),
        ("soy", 0),
        ("soy", 2),
    ]
    for handle, number, name in ((soy, 3, WEIGHTS), (soy, 1, WEIGHTS), (maize, 0, "weights")):
        trial = handle.study.get_trials(deepcopy=False)[number]
        get_file(harness.artifacts, trial, name, to=tmp_path / f"{number}", storage=harness.storage)
    assert is_sound(harness)


def test_a_trial_with_evicted_weights_is_refused_as_base_and_for_export(
    harness: StudyHarness, postgres_url: str, tmp_path: Path
) -> None:
    handle = harness.create(trials=2)
    harness.work(handle)
    best = best_trial(handle)
    assert best is not None
    worse = f"soy:{1 - best.number}"
    taken = collect_garbage(harness.storage, harness.artifacts, budget=total_size(harness) - 1, keep=1)
    assert evicted(taken) == [(1 - best.number, WEIGHTS)]  # its largest file
    says = (f"trial `{worse}` has no {WEIGHTS} any more", "artifacts gc", "choose another trial")
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    create = ("study", "create", "veins", "--kind", "decoder", "--base", worse, "--storage", postgres_url)
    refuse(EXPECTED_FAILURE, *create, "--artifacts", harness.artifacts.folder, says=says)
    refuse(EXPECTED_FAILURE, "bundle", "export", worse, "-o", tmp_path / "out", *places, says=says)
    assert optuna.get_all_study_names(harness.storage) == ["soy"] and not (tmp_path / "out").exists()


def test_a_base_recorded_with_a_study_stays(harness: StudyHarness, end_trial: EndTrial) -> None:
    soy = harness.create(trials=2)
    end_trial(soy, TrialState.COMPLETE, 0.2)
    end_trial(soy, TrialState.COMPLETE, 0.8)
    veins = harness.create("veins", "decoder", base="soy")
    veins.study.set_user_attr("venation:base", 0)
    with pytest.raises(UserError, match="cannot be met"):
        collect_garbage(harness.storage, harness.artifacts, budget=total_size(harness) - KB, keep=1)


def test_the_pareto_front_stays(harness: StudyHarness, end_trial: EndTrial) -> None:
    handle = harness.create(trials=5, objective=("accuracy", "parameters"))
    points = [(0.9, 900.0), (0.7, 500.0), (0.6, 600.0), (0.5, 100.0), (0.4, 950.0)]
    for point in points:
        end_trial(handle, TrialState.COMPLETE, point)
    best = {trial.number for trial in handle.study.best_trials}
    plan = collect_garbage(
        harness.storage, harness.artifacts, budget=total_size(harness) - 2 * KB, keep=1, dry_run=True
    )
    assert best == {0, 1, 3} and evicted(plan) == [(4, "weights"), (2, "weights")]
    with pytest.raises(UserError, match="cannot be met"):
        collect_garbage(harness.storage, harness.artifacts, budget=total_size(harness) - 2 * KB - 1, keep=1)


def test_a_replaced_file_is_evicted_first_even_of_the_best_trial(harness: StudyHarness, end_trial: EndTrial) -> None:
    handle = harness.create(trials=1)
    end_trial(handle, TrialState.COMPLETE, 0.5, KB, "weights", "weights")
    new = {file.artifact_id for file in list_files(handle.study.trials[0], storage=harness.storage)}
    (old,) = {meta.artifact_id for meta in recorded_files(harness, handle, 0)} - new
    done = collect_garbage(harness.storage, harness.artifacts, budget=total_size(harness) - KB)
    assert evicted(done) == [(0, "weights")]
    assert old not in stored_ids(harness) and new < stored_ids(harness) and is_sound(harness)


def test_bytes_shared_with_a_copied_study_stay(harness: StudyHarness, end_trial: EndTrial) -> None:
    handle = harness.create(trials=1)
    end_trial(handle, TrialState.FAIL)
    # The dashboard renames a study in this way.
    optuna.copy_study(
        from_study_name="soy", from_storage=harness.storage, to_storage=harness.storage, to_study_name="soy-copy"
    )
    with pytest.raises(UserError, match="cannot be met"):
        collect_garbage(harness.storage, harness.artifacts, budget=KB)


def test_a_crash_after_deleting_the_record_leaves_an_orphan_for_the_next_gc(
    harness: StudyHarness, end_trial: EndTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(trials=1)
    end_trial(handle, TrialState.FAIL)
    budget = total_size(harness) - KB

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderStore, "remove", crash)
    with pytest.raises(KeyboardInterrupt):
        collect_garbage(harness.storage, harness.artifacts, budget=budget)
    monkeypatch.undo()
    assert recorded_files(harness, handle, 0) == [] and total_size(harness) > budget and is_sound(harness)
    make_older(harness)
    assert len(collect_garbage(harness.storage, harness.artifacts).orphans) == 1 and total_size(harness) <= budget


def test_two_concurrent_collections_remove_each_file_once(harness: StudyHarness, end_trial: EndTrial) -> None:
    handle = harness.create(trials=8)
    for _ in range(8):
        end_trial(handle, TrialState.FAIL)
    budget = total_size(harness) - 8 * KB
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: collect_garbage(harness.storage, harness.artifacts, budget=budget), range(2)))
    taken = [file.record.number for found in both for file in found.files]
    assert sorted(taken, key=str) == list(range(8)) and total_size(harness) == budget and is_sound(harness)


def test_a_worker_keeps_running_during_repeated_garbage_collection(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    handle = harness.create(trials=3)
    worker = start_worker("soy", "--until-idle")
    taken = 0

    def collected() -> bool:
        nonlocal taken
        with suppress(UserError):
            # The tightest budget: one byte less than the current size.
            taken += len(
                collect_garbage(harness.storage, harness.artifacts, budget=total_size(harness) - 1, keep=1).files
            )
        return handle.study.trials[-1].state.is_finished() and len(handle.study.trials) == 3

    worker.wait_until(collected)
    assert worker.wait() == 0, worker.log.read_text()
    assert collected(), "on a slow machine the first collection that removed a file"
    assert all(trial.state == TrialState.COMPLETE for trial in handle.study.trials)
    assert taken > 0 and is_sound(harness)
    best = best_trial(handle)
    assert best is not None
    get_file(harness.artifacts, best, "weights.safetensors", to=tmp_path / "weights", storage=harness.storage)


def test_a_store_shared_by_two_databases_has_no_orphans(harness: StudyHarness, tmp_path: Path) -> None:
    harness.create()
    own = marker_id(harness.storage)
    assert own in stored_ids(harness)
    path = tmp_path / "foreign"
    path.write_bytes(b"bytes")
    foreign = store_file(harness.artifacts, path).artifact_id
    harness.artifacts.write("venation-database-1-2", io.BytesIO(b""))
    make_older(harness)
    found = collect_garbage(harness.storage, harness.artifacts)
    assert found.orphans == [] and found.other_databases == ["venation-database-1-2"]
    assert verify_store(harness.storage, harness.artifacts).orphans == []
    remove_blob(harness.artifacts, "venation-database-1-2")
    orphans = collect_garbage(harness.storage, harness.artifacts).orphans
    assert [orphan.entry.artifact_id for orphan in orphans] == [foreign]


def test_verify_lists_missing_damaged_and_unrecorded_files(
    harness: StudyHarness, end_trial: EndTrial, postgres_url: str
) -> None:
    handle, _ = harness.create(trials=4), harness.create("maize")
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    for _ in range(3):
        end_trial(handle, TrialState.COMPLETE, 0.5)
    assert venation("artifacts", "verify", *places).exit_code == 0
    whole, missing, damaged = (recorded_files(harness, handle, number)[0].artifact_id for number in range(3))
    remove_blob(harness.artifacts, missing)
    harness.artifacts.write(damaged, io.BytesIO(b"other"))
    harness.artifacts.write("12345678-1234-1234-1234-123456789abc", io.BytesIO(b"lost"))
    make_older(harness)
    result = venation("artifacts", "verify", "--json", *places)
    assert result.exit_code == EXPECTED_FAILURE
    reported = {row["artifact"]: (row["trial"], row["status"]) for row in json.loads(result.stdout)["rows"]}
    lost = "12345678-1234-1234-1234-123456789abc"
    assert reported == {missing: (1, "missing"), damaged: (2, "damaged"), lost: (None, "never recorded")}
    plain = venation("artifacts", "verify", "soy", *places)
    assert plain.exit_code == EXPECTED_FAILURE and "4 files" in plain.stdout and "1 missing, 1 damaged" in plain.stdout
    assert whole not in plain.stdout and lost not in plain.stdout
    assert rows("artifacts", "verify", "maize", *places)["rows"] == []
    refuse(EXPECTED_FAILURE, "artifacts", "verify", "rice", *places, says=("`rice` does not exist", "maize, soy"))


def test_gc_from_the_command_line(harness: StudyHarness, end_trial: EndTrial, postgres_url: str) -> None:
    handle = harness.create(trials=2)
    end_trial(handle, TrialState.COMPLETE, 0.5, 50 * KB)
    end_trial(handle, TrialState.FAIL, None, 40 * KB)
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    refuse(MISUSE, "artifacts", "gc", "--budget", "lots", *places, says=("'lots' is not understood; write 500MB",))
    refuse(EXPECTED_FAILURE, "artifacts", "gc", "--budget", "1kB", *places, says=("1 kB cannot be met",))
    planned = rows("artifacts", "gc", "--budget", "0.06MB", "--dry-run", *places)
    assert (planned["removed"], planned["bytes"], planned["dry_run"]) == (1, 40 * KB, True)
    result = venation("artifacts", "gc", "--budget", "60kB", *places)
    assert result.exit_code == 0 and "removed 1 files (40 kB)" in result.stdout and "failed" in result.stdout
    assert venation("artifacts", "gc", *places).stdout.startswith("removed 0 files (0 B)")


def test_a_deleted_study_leaves_nothing_to_collect(harness: StudyHarness, end_trial: EndTrial) -> None:
    end_trial(harness.create(), TrialState.COMPLETE, 0.5)
    delete_study(harness.storage, "soy", harness.artifacts)
    make_older(harness)
    assert collect_garbage(harness.storage, harness.artifacts).orphans == []


def test_a_worker_leaves_its_databases_owner_marker_in_the_store(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create()
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    mark = marker_id(harness.storage)
    assert mark is not None and has_artifact(harness.artifacts, mark)
    harness.artifacts.remove(mark)  # as if the study had been created with another store
    places = ("--device", "cpu", "--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    succeed("worker", "soy", "--until-idle", *places)
    assert has_artifact(harness.artifacts, mark)
