"""Signal checks: a planted signal is found, equal configs are noise, results are reused."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse, rows, succeed
from study_helpers import StudyHarness

from venation.errors import UsageError, UserError
from venation.insight import signal
from venation.insight.signal import SignalCheck
from venation.insight.variance import analyse
from venation.insight.verdict import Point, Verdict
from venation.models.cost import Cost
from venation.search.handle import StudyHandle
from venation.spaces.decoder import DECODER_SPACE
from venation.spaces.presets import recipe
from venation.spaces.random_points import random_configs
from venation.spaces.space import Choice, Int, Space
from venation.storage.attributes import SIGNAL, SIGNAL_RESULT
from venation.studies.create import create_requested
from venation.studies.request import make_request
from venation.trials.auto_fields import resolve_auto
from venation.trials.errors import TrialFailed
from venation.trials.evaluate import evaluate
from venation.trials.recalibrate import recalibrate
from venation.trials.train import fit
from venation.trials.trial_config import TrialConfig

TINY = {"decoder.kind": "unet", "decoder.channels": 8, "train.batch_size": 2, "train.lr": 0.02}
# A weight decay of 50 shrinks every weight to zero. A U-Net has no `decoder.transfer`.
PLANTED = "train.weight_decay: [0.05, 50.0]\ndecoder.gate_from: [6, 5]\n"
COPY = "decoder.transfer: [0.25, 0.1, 0.2, 0.3]\n"


@pytest.fixture
def veins(harness: StudyHarness, tmp_path: Path) -> Callable[..., StudyHandle]:
    """Return a function that creates a decoder study of a space on a small base."""
    settings = {"train.epochs": 4, "train.lr": 0.001, "gate": "meanmax", "data.blank": 0.1}
    harness.work(harness.create("soy", settings=settings))

    def create(space: str, name: str = "veins", **settings: Any) -> StudyHandle:
        path = tmp_path / f"{name}.yaml"
        path.write_text(space)
        return harness.create(name, "decoder", base="soy", space=path, settings=TINY | settings)

    return create


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TrialConfig]]:
    """Yield the configs that a check starts; instead of training, each gets a distinct value."""
    begun: list[Any] = []

    def value(_: SignalCheck, config: TrialConfig) -> float:
        begun.append(config)
        return config.train.lr + config.train.seed / 2**33

    monkeypatch.setattr(SignalCheck, "_value", value)
    yield begun


def check(harness: StudyHarness, handle: StudyHandle, **options: int) -> SignalCheck:
    return SignalCheck(harness.context(handle), **options)


def test_a_crippling_choice_is_signal_and_an_unused_field_is_noise(
    harness: StudyHarness, veins: Callable[..., StudyHandle]
) -> None:
    planted = check(harness, veins(PLANTED, "planted"), points=8, seeds=2, epochs=8).run()
    assert planted.variance.outcome == "signal" and planted.variance.p < 0.01, planted.text
    values: dict[Any, list[float]] = {}
    for point, values_S in zip(planted.points, planted.values_PS, strict=True):
        values.setdefault(point.params["train.weight_decay"], []).extend(values_S)
    assert [len(found) for found in values.values()] == [4, 4] and min(values[0.05]) > max(values[50.0]) + 0.1
    assert planted.text.startswith("Signal") and "Search this space" in planted.text

    copy = check(harness, veins(COPY, "copy"), points=4, seeds=3, epochs=1).run()
    assert copy.variance.outcome == "noise" and copy.variance.between == 0, copy.text
    # The seeds differ, but their common effect on all points is no signal.
    assert copy.variance.common > 0
    assert "use its cheapest config, point 0" in copy.text


def test_a_value_is_the_objective_on_validation_after_training_and_recalibration(
    harness: StudyHarness, veins: Callable[..., StudyHandle]
) -> None:
    handle = veins(PLANTED)
    found = check(harness, handle, points=3, seeds=2, epochs=1)
    config = found.points[0].config
    value = found.run().values_PS[0, 1]
    context, cpu = harness.context(handle), torch.device("cpu")
    config = config.model_copy(update={"train": config.train.model_copy(update={"seed": handle.spec.trial_seed(1)})})
    network = context.network(config)
    train, val = context.loaders.make(config, "train"), context.loaders.make(config, "val")
    for _ in fit(network, train, val, config.train, task="segment", device=cpu, monitor="iou"):
        pass
    plain = signal.LeafDataset(context.manifest.split("train"), context.manifest.classes, config.data, train=False)
    batches = signal.make_loader(plain, batch_size=config.train.batch_size, train=False, seed=0)
    recalibrate(network, batches, device=cpu, task="segment")
    assert value == evaluate(network, val, device=cpu, task="segment")["iou"]
    assert config.train.epochs == 1 and config.encoder.name == "test_resnet"


def test_an_interrupted_or_larger_check_reuses_results(
    harness: StudyHarness, fits: list[TrialConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    original = SignalCheck._value

    def interrupt(one: SignalCheck, config: TrialConfig) -> float:
        if len(fits) == 4:
            raise KeyboardInterrupt
        return original(one, config)

    monkeypatch.setattr(SignalCheck, "_value", interrupt)
    with pytest.raises(KeyboardInterrupt):
        check(harness, handle, points=3, seeds=2).run()
    monkeypatch.setattr(SignalCheck, "_value", original)
    first = check(harness, handle, points=3, seeds=2).run()
    assert len(fits) == 6 and len(set(map(repr, fits))) == 6
    larger = check(harness, handle, points=5, seeds=3).run()
    assert len(fits) == 15 and len(set(map(repr, fits))) == 15
    assert np.array_equal(larger.values_PS[:3, :2], first.values_PS)
    kept = [name for name in handle.study.user_attrs if name.startswith(SIGNAL_RESULT.key)]
    assert len(kept) == 15 and handle.study.user_attrs[SIGNAL.key] == larger.record()
    # Another number of epochs is another check.
    check(harness, handle, points=3, seeds=2, epochs=2).run()
    assert len(fits) == 21


def test_all_trainings_of_a_seed_share_seed_and_epochs(harness: StudyHarness, fits: list[TrialConfig]) -> None:
    handle = harness.create(settings={"train.epochs": 41})
    check(harness, handle, points=4, seeds=2).run()
    assert [config.train.seed for config in fits] == [handle.spec.trial_seed(0)] * 4 + [handle.spec.trial_seed(1)] * 4
    assert {config.train.epochs for config in fits} == {11}
    trial_0 = resolve_auto(handle.spec.config).train
    assert fits[0].train == trial_0.model_copy(update={"epochs": 11, "seed": fits[0].train.seed})


def test_a_point_that_cannot_be_trained_is_left_out_and_named(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    found = check(harness, handle, points=5, seeds=2)
    bad = found.points[2].config.train.lr

    def value(_: SignalCheck, config: TrialConfig) -> float:
        if config.train.lr == bad:
            raise TrialFailed("nan", "training total became nan")
        return config.train.lr + config.train.seed / 2**33

    monkeypatch.setattr(SignalCheck, "_value", value)
    verdict = found.run()
    assert [point.number for point in verdict.points] == [0, 1, 3, 4]
    assert verdict.causes == {2: "nan: training total became nan"} and "the first is point 2 (nan: " in verdict.text
    with pytest.raises(UserError, match="1 of 3 points cannot be trained: nan"):
        check(harness, handle, points=3, seeds=2).run()


def test_a_point_with_an_invalid_batch_size_is_left_out_and_named(
    harness: StudyHarness, veins: Callable[..., StudyHandle]
) -> None:
    space = "train.micro_batch: [1, 4]\ntrain.weight_decay: [0.03, 0.04, 0.05]\n"
    verdict = check(harness, veins(space, **{"train.batch_size": 8}), points=6, seeds=2, epochs=1).run()
    assert len(verdict.causes) == 3 and {point.params["train.micro_batch"] for point in verdict.points} == {4}
    assert "Left out: 3 points that cannot be trained" in verdict.text and "config: a batch of one" in verdict.text
    few = veins("train.micro_batch: [1, 4]\ntrain.weight_decay: [0.04, 0.05]\n", "few", **{"train.batch_size": 8})
    with pytest.raises(UserError, match=r"2 of 4 points cannot be trained: config: .* raise train.micro_batch\.$"):
        check(harness, few, points=9, seeds=2, epochs=1).run()


def test_a_point_without_a_valid_network_is_left_out_and_named(
    harness: StudyHarness, fits: list[TrialConfig], tmp_path: Path
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("data.size: [32, 40, 48, 64]\n")
    settings = {"encoder.name": "test_vit", "encoder.weights": "none", "train.epochs": 1}
    given = {"name": "soy", "kind": "classifier", "data": harness.data, "space": path, "settings": settings}
    handle, _ = create_requested(harness.storage, harness.artifacts, make_request(given))
    found = check(harness, handle, points=9, seeds=2)
    verdict = found.run()
    assert len(fits) == 6 and sorted(point.config.data.size for point in verdict.points) == [32, 48, 64]
    ((_, cause),) = verdict.causes.items()
    assert cause.startswith("config: encoder test_vit does not take images of 40x40") and cause in verdict.text


def test_points_that_break_a_constraint_are_counted_and_not_trained(
    harness: StudyHarness, fits: list[TrialConfig], tmp_path: Path
) -> None:
    harness.work(harness.create("soy"))
    path = tmp_path / "space.yaml"
    path.write_text("decoder.channels: [4, 8, 128, 12, 96]\n")
    settings = {"decoder.kind": "unet"}
    free = harness.create("free", "decoder", base="soy", space=path, settings=settings)
    count_of = {point.config.decoder.channels: point.cost.parameters for point in check(harness, free, points=9).points}
    constrained = harness.create(
        "constrained", "decoder", base="soy", space=path, settings=settings, constraint=f"parameters<={count_of[12]}"
    )
    verdict = check(harness, constrained, points=9, seeds=2).run()
    assert sorted(config.decoder.channels for config in fits) == [4, 4, 8, 8, 12, 12]
    assert verdict.forbidden == 2 and "Not trained: 2 sampled points that break a constraint" in verdict.text
    assert constrained.study.user_attrs[SIGNAL.key]["forbidden"] == 2
    tight = harness.create(
        "tight", "decoder", base="soy", space=path, settings=settings, constraint=f"parameters<={count_of[8]}"
    )
    with pytest.raises(UsageError, match=r"has 2 points that satisfy its constraints \(3 do not\)"):
        check(harness, tight, points=9, seeds=2).run()


def test_all_points_lie_in_the_space_even_if_the_studys_config_does_not(
    harness: StudyHarness, fits: list[TrialConfig], tmp_path: Path
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("train.lr: [0.01, 0.02, 0.04, 0.08]\n")
    found = check(harness, harness.create(space=path), points=4, seeds=2)
    assert sorted(point.config.train.lr for point in found.points) == [0.01, 0.02, 0.04, 0.08]
    assert found.run().exhausted
    assert not check(harness, harness.create("more", space=path), points=3, seeds=2).run().exhausted


def test_invalid_combinations_of_values_are_not_sampled() -> None:
    config = recipe("default", "decoder").config
    space = Space(dimensions=(Int(name="decoder.deform_kernel", low=3, high=7),))
    assert sorted(one.decoder.deform_kernel for one in random_configs(space, config, 9, seed=0)) == [3, 5, 7]


def test_sampled_points_are_distinct_and_reproducible() -> None:
    config = recipe("default", "decoder").config
    seven = random_configs(DECODER_SPACE, config, 7, seed=3)
    assert seven[0] == config and len({one.model_dump_json() for one in seven}) == 7
    assert random_configs(DECODER_SPACE, config, 4, seed=3) == seven[:4]
    assert random_configs(DECODER_SPACE, config, 4, seed=4) != seven[:4]
    for one in seven:
        assert DECODER_SPACE.point(one).keys() == {d.name for d in DECODER_SPACE.dimensions if d.applies(one)}
        assert one.data == config.data
    small = Space(dimensions=(Choice(name="decoder.channels", choices=(16, 32, 64)),))
    assert sorted(one.decoder.channels for one in random_configs(small, config, 10, seed=0)) == [16, 32, 64]


def test_a_study_that_cannot_be_checked_is_a_one_line_error(harness: StudyHarness, tmp_path: Path) -> None:
    soy = harness.create("soy")
    boost = harness.create("boost", "booster", base="soy")
    waiting = harness.create("veins", "decoder", base="soy")
    fixed = harness.create("fixed", preset="mganet", settings={"encoder.weights": "none"})
    few = tmp_path / "few.yaml"
    few.write_text("gate: [none, meanmax]\n")
    two = harness.create("two", space=few)
    for handle, options, kind, message in (
        (boost, {}, UsageError, "booster study"),
        (waiting, {}, UserError, "start `venation worker soy"),
        (fixed, {}, UsageError, "empty search space"),
        (soy, {"points": 2}, UsageError, "at least 3 points and 2 seeds"),
        (soy, {"seeds": 1}, UsageError, "at least 3 points and 2 seeds"),
    ):
        with pytest.raises(kind, match=message):
            check(harness, handle, **options)
    with pytest.raises(UsageError, match="the space has 2 points"):
        check(harness, two).run()


def test_the_command_prints_a_table_and_the_verdict(
    harness: StudyHarness, fits: list[TrialConfig], postgres_url: str
) -> None:
    harness.create()
    options = ("--storage", postgres_url, "--artifacts", harness.artifacts.folder, "--device", "cpu")
    arguments = ("study", "signal", "soy", "--points", 4, "--seeds", 2, *options)
    table = succeed(*arguments)
    assert "accuracy" in table and table.rstrip().splitlines()[-1].startswith(("Signal", "Noise", "Unclear"))
    record = rows(*arguments)
    assert len(record["points"]) == 4 and record["outcome"] in ("signal", "noise", "unclear") and len(fits) == 8
    assert {"between", "within", "tau", "tau_low", "tau_high", "p", "reliability", "gain", "text"} <= record.keys()
    refuse(EXPECTED_FAILURE, "study", "signal", "none", *options, says=("`none` does not exist",))
    refuse(MISUSE, "study", "signal", "soy", "--seeds", 1, *options, says=("at least 3 points",))


def verdict(
    values_PS: list[list[float]], *, direction: str = "maximize", epochs: int = 5, exhausted: bool = False
) -> Verdict:
    config = recipe("default", "decoder").config
    points = []
    for number, channels in zip(range(len(values_PS)), (32, 64, 16, *[32] * 20), strict=False):
        decoder = config.decoder.model_copy(update={"channels": channels})
        drawn = config.model_copy(update={"decoder": decoder})
        own = Cost(parameters=900 + channels, trainable=10 * channels, macs=1000 * channels)
        points.append(Point(number, drawn, {"decoder.channels": channels}, own))
    table = np.array(values_PS)
    return Verdict(
        analyse(table),
        tuple(points),
        table,
        {},
        objective="iou" if direction == "maximize" else "logloss",
        direction=direction,  # type: ignore[arg-type]
        trials=20,
        epochs=epochs,
        full_epochs=20,
        exhausted=exhausted,
    )


def test_noise_names_the_cheapest_point_and_the_largest_possible_gain() -> None:
    found = verdict([[0.5, 0.6, 0.4]] * 4)
    assert found.cheapest.number == 2
    assert "use its cheapest config, point 2 (decoder.channels=16; " in found.text
    assert "160 trainable parameters, 16,000 MACs" in found.text
    assert "iou above a random point" in found.text
    assert "logloss below a random point" in verdict([[0.5, 0.6, 0.4]] * 4, direction="minimize").text


def test_an_unclear_verdict_recommends_the_next_check() -> None:
    rng = np.random.default_rng(11)
    reasons = set()
    for spread, count in product((0.0, 0.6, 1.0), range(12)):
        table = rng.normal(size=(5, 1)) * spread + rng.normal(size=(5, 2 + count % 2))
        one = analyse(table)
        if one.outcome != "unclear":
            continue
        text = verdict(table.tolist()).text
        if one.p < 0.05:
            assert "`--epochs 10`" in text and "`--seeds" not in text
        elif one.seeds_to_settle():
            assert f"`--seeds {one.seeds_to_settle()}`" in text
        else:
            assert "`--points 10`" in text
            # The advice is never `--points` if the space has no more points.
            whole = verdict(table.tolist(), exhausted=True).text
            assert "--points" not in whole and f"`--seeds {2 * one.seeds}`" in whole and "`--epochs 10`" in whole
            longest = verdict(table.tolist(), exhausted=True, epochs=20).text
            assert "--epochs" not in longest and "a space whose choices differ more" in longest
        reasons.add(text.split(":")[0])
    assert len(reasons) == 3, reasons
