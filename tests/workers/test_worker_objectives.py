"""Several objectives on a real worker: pruning by costs, records, a killed worker, export."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna import TrialPruned
from optuna.trial import TrialState
from rung_helpers import claim_next
from study_helpers import SETTINGS, Pause, StudyHarness, WorkerProcess

from venation.bundles.bundle import read_record
from venation.models.build import build_network
from venation.models.network_config import NetworkConfig
from venation.search.asha import trial_curve
from venation.search.handle import StudyHandle
from venation.spaces.fields import set_fields
from venation.storage.artifacts import list_files
from venation.storage.attributes import COSTS, LATENCY, METRICS
from venation.studies.base import recorded_config
from venation.studies.context import StudyContext
from venation.studies.create import create_requested
from venation.studies.export import export_studies
from venation.studies.registry import open_study, study_row, trial_details, trial_row
from venation.studies.request import StudyRequest
from venation.studies.results import pareto_rows, pareto_trials
from venation.trials.kinds import Kind
from venation.trials.trial_config import TrialConfig
from venation.workers import costs
from venation.workers.costs import affordable_costs, record_costs, trial_costs

ENCODERS = ("test_resnet", "test_efficientnet", "test_byobnet", "test_mambaout", "test_efficientnet")


def make_study(harness: StudyHarness, folder: Path) -> StudyHandle:
    """Create five trials with different encoders; the first has too many parameters."""
    (folder / "space.yaml").write_text(f"encoder.name: [{', '.join(dict.fromkeys(ENCODERS))}]\n")
    settings = {name: value for name, value in SETTINGS.items() if name != "encoder.name"} | {"train.epochs": 3}
    request = StudyRequest(
        name="soy",
        kind=Kind.CLASSIFIER,
        data=harness.data,
        space=folder / "space.yaml",
        settings=settings,
        objectives=("accuracy", "parameters", "latency"),
        constraints=("parameters<=3e5",),
        trials=len(ENCODERS),
        first_rung=1,
    )
    handle, _ = create_requested(harness.storage, harness.artifacts, request)
    for encoder in ENCODERS:
        handle.study.enqueue_trial({"encoder.name": encoder})
    return handle


def test_a_search_for_accurate_and_small_networks(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = make_study(harness, tmp_path)
    built: list[str] = []
    network = StudyContext.network

    def building(context: StudyContext, config: TrialConfig) -> object:
        built.append(config.encoder.name)
        return network(context, config)

    monkeypatch.setattr(StudyContext, "network", building)
    assert harness.work(handle) == len(ENCODERS)
    assert handle.spec.pruner == "asha" and handle.spec.rungs == (1,)
    large, *others = handle.study.get_trials()

    # Neither built nor trained; the sampler can read the reason.
    assert large.state == TrialState.PRUNED and "test_resnet" not in built
    assert (large.values, large.intermediate_values) == (None, {})
    assert trial_row(large, handle.spec)["cause"] == "constraint: parameters 373k > 300k"
    assert large.constraints == {"parameters<=300000": pytest.approx(372_979 / 3e5 - 1)}
    assert list_files(large, storage=handle.storage) == []

    done = [trial for trial in others if trial.state == TrialState.COMPLETE]
    stopped = [trial for trial in others if trial.state == TrialState.PRUNED]
    assert {len(t.intermediate_values) for t in done} == {3} and {len(t.intermediate_values) for t in stopped} <= {1}
    assert len(done) + len(stopped) == 4 and done and stopped
    for trial in done:
        counted = sum(p.numel() for p in build_network(recorded_config(trial).network(3)).parameters())
        predicted, metrics = COSTS.need(trial)["latency"], METRICS.need(trial)
        assert trial.values == [metrics["accuracy"], counted, predicted]
        assert 0 < metrics["latency"] != predicted > 0
        assert trial.constraints["parameters<=300000"] < 0
    for trial in stopped:
        (point,) = trial_curve(trial, handle.spec.objectives)
        assert trial.values == list(point) and "not among the best 1/3" in trial.user_attrs["cause"]

    front = pareto_trials(handle)
    assert [t.number for t in sorted(front, key=lambda t: t.number)] == [t.number for t in handle.study.best_trials]
    assert [row["number"] for row in pareto_rows(handle)] == [trial.number for trial in front]
    row = study_row(handle)
    assert row["pareto"] == len(front) and row["latency_error"]["trials"] == len(done)
    assert trial_details(handle, done[0].number)["values"]["parameters"] == done[0].values[1]

    # One measurement for each network: trials with the same encoder share it, the large one has
    # none.
    known = [key for key in open_study(harness.storage, "soy").study.user_attrs if key.startswith(LATENCY.key)]
    assert len(known) == len(set(ENCODERS)) - 1

    out = export_studies(harness.storage, harness.artifacts, ["soy"], out=tmp_path / "soy.bundle", device="cpu")
    (source,) = read_record(out).sources
    assert (source.trial, source.objective, source.value) == (front[0].number, "accuracy", front[0].values[0])


def test_reports_of_a_killed_worker_are_kept_for_all_objectives(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess], pause_at: Callable[[int], Pause]
) -> None:
    objective = ["accuracy", "macro_f1", "macs"]
    settings = {"train.epochs": 3}
    whole = harness.create("whole", objective=objective, settings=settings, pruner="none")
    harness.work(whole)
    handle = harness.create("soy", objective=objective, settings=settings, pruner="none")
    pause = pause_at(1)
    victim = start_worker("soy", "--until-idle")
    pause.wait(victim)
    victim.send(signal.SIGKILL)
    victim.wait()
    pause.release()
    harness.silence()
    assert harness.work(handle) == 1
    (trial,), (expected,) = handle.study.get_trials(), whole.study.get_trials()
    assert trial.values == expected.values
    curve = trial_curve(trial, handle.spec.objectives)
    assert curve == trial_curve(expected, whole.spec.objectives) and len(curve) == 3
    assert all(len(point) == 3 and point[2] == expected.values[2] for point in curve)


def test_a_rerun_trial_has_the_constraints_of_the_last_run(harness: StudyHarness) -> None:
    handle = harness.create(objective=["accuracy", "latency"], constraint="latency<=20")
    lease = claim_next(handle)
    record_costs(lease, {"latency": 10.0})
    assert handle.study.get_trials()[0].constraints == {"latency<=20": -0.5}
    # On another worker's device. Optuna would keep the first value and warn.
    record_costs(lease, {"latency": 15.0})
    assert handle.study.get_trials()[0].constraints == {"latency<=20": -0.25}
    assert COSTS.need(handle.study.get_trials()[0]) == {"latency": 15.0}


def test_the_latency_table_belongs_to_one_study_and_device(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(objective=["accuracy", "latency"])
    measured: list[NetworkConfig] = []

    def measuring(config: NetworkConfig, _device: object) -> float:
        measured.append(config)
        return float(len(measured))

    monkeypatch.setattr(costs, "measure_config", measuring)
    context, config = harness.context(handle), handle.spec.config
    assert trial_costs(context, config) == {"latency": 1.0}
    assert trial_costs(harness.context(open_study(harness.storage, "soy")), config) == {"latency": 1.0}
    monkeypatch.setattr(costs, "device_name", lambda _device: "another")
    assert trial_costs(context, config) == {"latency": 2.0}
    assert len(measured) == 2 and measured[0] == measured[1]


def test_latency_is_not_measured_for_a_network_that_is_too_large(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[NetworkConfig] = []

    def measuring(config: NetworkConfig, _device: object) -> float:
        measured.append(config)
        return 30.0

    monkeypatch.setattr(costs, "measure_config", measuring)
    constraint = ["latency<=20", "parameters<=3.8e5"]
    handle = harness.create(objective=["accuracy", "latency"], constraint=constraint)
    context, config, lease = harness.context(handle), handle.spec.config, claim_next(handle)
    large = set_fields(config, {"encoder.name": "resnet18"})
    with pytest.raises(TrialPruned, match=r"^constraint: parameters 11.18M > 380k$"):
        affordable_costs(context, lease, large)
    assert measured == []
    (trial,) = handle.study.get_trials()
    assert COSTS.need(trial).keys() == {"parameters"}
    assert trial.constraints.keys() == {"parameters<=380000"} and trial.constraints["parameters<=380000"] > 0

    with pytest.raises(TrialPruned, match=r"^constraint: latency 30 ms > 20 ms$"):
        affordable_costs(context, lease, config)
    assert len(measured) == 1
    (trial,) = handle.study.get_trials()
    assert COSTS.need(trial) == {"parameters": 372_979, "latency": 30.0}
    assert trial.constraints == {"latency<=20": 0.5, "parameters<=380000": pytest.approx(372_979 / 3.8e5 - 1)}


def test_a_rerun_trial_always_has_the_costs_of_its_rung_scores(harness: StudyHarness) -> None:
    lease = claim_next(harness.create(objective=["accuracy", "latency"], constraint="parameters<=4e5"))
    record_costs(lease, {"parameters": 3e5, "latency": 10.0})
    record_costs(lease, {"parameters": 3e5})
    assert COSTS.need(lease.handle.study.get_trials()[0]) == {"parameters": 3e5, "latency": 10.0}
