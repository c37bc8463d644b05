"""The estimated cost of a study, and its error once trials have run."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from small_bundle import refuse, rows, venation
from study_helpers import StudyHarness

from venation.errors import UserError
from venation.insight import plan as plan_module
from venation.insight.plan import plan_study
from venation.insight.plan_record import bill, compare, plan_lines, plan_rows, stored_plan
from venation.insight.price import Price
from venation.models.cost import cost
from venation.models.network import MultitaskNetwork
from venation.search.handle import StudyHandle
from venation.spaces.fields import set_fields
from venation.storage.attributes import HISTORY, MIGRATED_FROM
from venation.studies.create import create_study
from venation.studies.request import make_request
from venation.studies.resolve import build_spec
from venation.trials.errors import TrialFailed

SPACE = "data.size: [32, 64]\ntrain.epochs: {low: 10, high: 60}\ntrain.lr: {low: 0.001, high: 0.01}\n"


def create_searched_study(harness: StudyHarness, folder: Path, **options: Any) -> StudyHandle:
    """Create a study with a space of image sizes and epochs around 48 pixels and 20 epochs."""
    path = folder / "space.yaml"
    path.write_text(SPACE)
    settings = {"encoder.name": "test_resnet", "encoder.weights": "none", "train.batch_size": 8}
    options = {"name": "soy", "kind": "classifier", "trials": 6, "pruner": "none"} | options
    request = make_request(options | {"data": harness.data, "space": path, "settings": settings})
    spec, prints = build_spec(harness.storage, request)
    config = set_fields(spec.config, {"data.size": 48, "train.epochs": 20})
    spec = spec.model_copy(update={"config": config})
    return create_study(harness.storage, harness.artifacts, "soy", spec, prints)[0]


def add_ended_trial(handle: StudyHandle, seconds: float, epochs: int, **attrs: Any) -> None:
    """Add a trial that took ``seconds`` for ``epochs``."""
    state = attrs.pop("state", TrialState.COMPLETE)
    trial = optuna.trial.create_trial(
        state=state,
        value=None if state == TrialState.FAIL else 0.5,
        intermediate_values=dict.fromkeys(range(epochs), 0.5),
        user_attrs=attrs.pop("user_attrs", {}),
        system_attrs=attrs.pop("system_attrs", {}),
    )
    trial.datetime_start = datetime(2026, 1, 1)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=seconds)
    handle.study.add_trial(trial)


def test_a_plan_prices_trial_0_and_the_cheapest_and_costliest_config(harness: StudyHarness, tmp_path: Path) -> None:
    handle = create_searched_study(harness, tmp_path)
    plan = plan_study(harness.context(handle))
    first, cheapest, costliest = plan["points"]
    assert [point["point"] for point in plan["points"]] == ["trial 0", "cheapest", "costliest"]
    assert first["differs"] == {}
    assert cheapest["differs"] == {"data.size": 32, "train.epochs": 10}
    assert costliest["differs"] == {"data.size": 64, "train.epochs": 60}
    for point in plan["points"]:
        known = cost(set_fields(handle.spec.config, point["differs"]).network(3))
        assert (point["parameters"], point["trained"], point["macs"]) == (
            known.parameters,
            known.trainable,
            known.macs,
        )
        assert point["seconds_an_epoch"] > 0 and point["memory"] == "estimated"
        hours = point["seconds_an_epoch"] * point["epochs"] / 3600
        assert (point["hours_a_trial"], point["hours"]) == pytest.approx((hours, 6 * hours))
    assert cheapest["memory_mib"] < first["memory_mib"] < costliest["memory_mib"]
    assert plan["hours"] == first["hours"]
    assert stored_plan(handle) == plan
    assert [trial.state for trial in handle.study.trials] == [TrialState.WAITING]


def test_a_decoder_study_is_priced_before_its_base_has_run(harness: StudyHarness) -> None:
    harness.create(settings={"data.size": 32})
    settings = {"decoder.kind": "unet", "decoder.channels": 8, "train.batch_size": 4}
    settings |= {"decoder.tune_encoder": False}
    handle = harness.create("veins", "decoder", base="soy", settings=settings, trials=2)
    (only,) = plan_study(harness.context(handle))["points"]
    config = set_fields(handle.spec.config, {"encoder.name": "test_resnet", "data.size": 32})
    assert (only["point"], only["trained"]) == ("trial 0, cheapest, costliest", cost(config.network(3)).trainable)
    assert only["trained"] < only["parameters"]


def test_a_booster_study_is_refused_in_one_line(harness: StudyHarness) -> None:
    harness.create()
    handle = harness.create("boost", "booster", base="soy")
    with pytest.raises(UserError, match="`boost` is a booster study: its trials have no epochs"):
        plan_study(harness.context(handle))


def test_a_point_that_does_not_fit_on_the_device_has_no_price(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(_network: Any, train: Any, *_: Any, **__: Any) -> Price:
        if train.config.size == 64:
            raise TrialFailed("oom", "out of memory")
        return Price(7.2, 1 << 20, memory_measured=True)

    monkeypatch.setattr(plan_module, "measure", measure)
    first, _, costliest = plan_study(harness.context(create_searched_study(harness, tmp_path)))["points"]
    assert (first["memory"], first["memory_mib"], first["hours_a_trial"]) == ("measured", 1.0, 7.2 * 20 / 3600)
    assert (costliest["memory"], costliest["seconds_an_epoch"], costliest["hours"]) == ("out of memory", None, None)


def test_copied_trials_are_not_counted_and_an_unlimited_study_has_no_total(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "measure", lambda *_, **__: Price(3.6, 1 << 20, memory_measured=True))
    handle = create_searched_study(harness, tmp_path)
    add_ended_trial(handle, 100.0, 2, user_attrs={MIGRATED_FROM.key: "old:3"})
    assert plan_study(harness.context(handle))["hours"] == pytest.approx(5 * 20 * 3.6 / 3600)
    spec = handle.spec.model_copy(update={"trials": None})
    assert plan_study(harness.context(replace(handle, spec=spec)))["hours"] is None


def test_compare_uses_trials_without_interruption(harness: StudyHarness, tmp_path: Path) -> None:
    handle = create_searched_study(harness, tmp_path)
    plan: dict[str, Any] = {"points": [{"seconds_an_epoch": 2.0}]}
    assert compare(handle, plan) is None
    harness.end_next(handle, TrialState.FAIL)  # trial 0
    add_ended_trial(handle, 1.0, 10, state=TrialState.PRUNED)
    assert compare(handle, plan) == {
        "trials": 1,
        "seconds_an_epoch": 0.1,
        "trial_0_seconds_an_epoch": None,
        "trial_0_planned": 2.0,
        "off": None,
    }


def test_compare_ignores_paused_and_copied_trials(harness: StudyHarness) -> None:
    handle = StudyHandle(optuna.create_study(storage=harness.storage), harness.create().spec, harness.storage)
    plan: dict[str, Any] = {"points": [{"seconds_an_epoch": 2.0}]}
    add_ended_trial(handle, 30.0, 10)  # trial 0: 3 s an epoch
    add_ended_trial(handle, 20.0, 10, state=TrialState.PRUNED)  # 2 s
    add_ended_trial(handle, 50.0, 5)  # 10 s
    add_ended_trial(handle, 900.0, 1, user_attrs={MIGRATED_FROM.key: "old:3"})
    add_ended_trial(handle, 900.0, 1, user_attrs={HISTORY.key: [{"attempt": 1, "end": "handed back"}, {"attempt": 2}]})
    add_ended_trial(handle, 900.0, 1, state=TrialState.FAIL)
    assert compare(handle, plan) == {
        "trials": 3,
        "seconds_an_epoch": 3.0,
        "trial_0_seconds_an_epoch": 3.0,
        "trial_0_planned": 2.0,
        "off": 0.5,
    }


def test_the_bill_has_euros_and_kwh_if_their_rates_are_given() -> None:
    assert bill({"hours": 8.0}, price=2.5, watts=700.0) == {"euros": 20.0, "kwh": pytest.approx(5.6)}
    assert bill({"hours": 8.0, "processes": 4}, price=2.5, watts=None) == {"euros": 80.0}
    assert bill({"hours": 8.0}, price=None, watts=None) == {}
    assert bill({"hours": None}, price=1.0, watts=1.0) == {"euros": None, "kwh": None}


def test_times_are_printed_in_a_fitting_unit() -> None:
    point = {"point": "trial 0", "parameters": 5, "trained": 4, "macs": 2e9, "memory_mib": 3.0, "memory": "measured"}
    point |= {"epochs": 3, "differs": {}}
    cheap = point | {"seconds_an_epoch": 0.35, "hours_a_trial": 0.0002917, "hours": 0.0005833}
    dear = point | {"seconds_an_epoch": 240.0, "hours_a_trial": 0.2, "hours": 12.0}
    lost = point | {"seconds_an_epoch": None, "hours_a_trial": None, "hours": None}
    plan = {"device": "cpu", "trials": 2, "hours": 0.0005833, "points": [cheap, dear, lost], "euros": 0.5}
    shown = [(row["epoch_time"], row["time"]) for row in plan_rows(plan)]
    assert shown == [("0.35 s", "2.1 s"), ("4 min", "12.0 h"), (None, None)]
    assert plan_lines(plan, None) == {"device": "cpu", "trials": 2, "euros": 0.5, "time": "2.1 s"}
    found = {"trials": 3, "seconds_an_epoch": 150.0, "trial_0_seconds_an_epoch": None, "trial_0_planned": 2, "off": 0.5}
    assert plan_lines(plan | {"hours": None}, found) == {
        **{"device": "cpu", "trials": 2, "euros": 0.5, "time": None, "recorded_trials": 3},
        **{"recorded_epoch_time": "2 min", "recorded_trial_0_epoch_time": None},
        **{"recorded_trial_0_planned": "2 s", "recorded_off": 0.5},
    }


def test_the_command_measures_once_and_then_compares(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create(trials=1)
    places = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    command = ("study", "plan", "soy", "--device", "cpu", *places)
    before = rows(*command, "--price", 2, "--watts", 500)
    assert (before["recorded"], before["euros"]) == (None, pytest.approx(2 * before["hours"]))
    assert before["kwh"] == pytest.approx(before["hours"] / 2)
    harness.work(handle)
    # Measuring again would raise a device error.
    after = rows("study", "plan", "soy", "--device", "cuda:99", *places)
    took = handle.study.trials[0].duration
    assert took is not None and after["points"] == before["points"]
    planned = before["points"][0]["seconds_an_epoch"]
    assert after["recorded"]["off"] == pytest.approx(took.total_seconds() / 1 / planned - 1)
    refuse(2, *command[:3], "--device", "cuda:99", "--again", *places, says=("device `cuda:99`",))
    shown = venation(*command)
    assert shown.exit_code == 0 and f"measured {before['planned']} on {before['device']}" in shown.stderr
    text = shown.stdout
    assert (
        "recorded_off: " in text
        and "hours" not in text
        and "estimated" in text
        and "trial 0, cheapest, costliest" in text
    )


def test_a_supernet_is_priced_as_four_trainings_and_left_out_of_the_comparison(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(network: MultitaskNetwork, *_: Any, **__: Any) -> Price:
        channels = network.decoder.enhancers[0].out_channels  # type: ignore[union-attr, index]
        return Price(3.6 * channels, 1 << 20, memory_measured=True)

    monkeypatch.setattr(plan_module, "measure", measure)
    harness.create("soy")
    (tmp_path / "space.yaml").write_text("decoder.widths.deform3: [0.125, 0.1875, 0.25]\n")
    settings = {f"decoder.widths.{name}": 0 for name in ("deform5", "atrous2", "atrous3", "meanmax")}
    settings |= {"decoder.channels": 8, "decoder.detail": 0, "train.epochs": 10, "train.batch_size": 8}
    options: dict[str, Any] = {"space": tmp_path / "space.yaml", "settings": settings, "trials": 6}
    plain = harness.create("plain", "decoder", base="soy", **options)
    handle = harness.create("veins", "decoder", base="soy", search="oneshot", **options)
    # 3.6 s are 0.001 h: 10 epochs of the widest, two channels, take 0.02 h, of the cheapest 0.01 h.
    (widest, cheapest) = plan_study(harness.context(handle))["points"]
    assert (widest["hours_a_trial"], cheapest["hours_a_trial"]) == pytest.approx((0.02, 0.01))
    assert (widest["hours"], cheapest["hours"]) == pytest.approx((6 * 0.02 + 3 * 0.02, 6 * 0.01 + 3 * 0.02))
    assert [point["hours"] for point in plan_study(harness.context(plain))["points"]] == pytest.approx([0.06, 0.12])

    plan = stored_plan(handle)
    assert plan is not None
    study = optuna.create_study(storage=harness.storage, study_name="ended")
    oneshot = StudyHandle(study, handle.spec, harness.storage)
    add_ended_trial(oneshot, 90.0, 10)  # trial 0, the supernet
    assert compare(oneshot, plan) is None
    add_ended_trial(oneshot, 20.0, 10)
    shown = compare(oneshot, plan)
    assert shown is not None and (shown["trials"], shown["seconds_an_epoch"]) == (1, 2.0)
    assert (shown["trial_0_seconds_an_epoch"], shown["off"]) == (None, None)
