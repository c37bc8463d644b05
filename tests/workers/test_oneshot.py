"""One-shot studies: the first trials, the ranking by the supernet, and the verdict."""

import csv
import signal as signals
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState
from scipy import stats
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse, rows, succeed
from study_helpers import Pause, StudyHarness, WorkerProcess

from venation.bundles.record import WEIGHTS
from venation.errors import UsageError
from venation.insight.oneshot_verdict import judge_oneshot
from venation.leases.budget import is_finished
from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.search.oneshot import comparison_points, design_oneshot, ranked_configs, split_budget
from venation.spaces.decoder import MNSA_SPACE
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.spaces.space import Float, Space
from venation.storage.artifacts import get_file, list_files
from venation.storage.attributes import ONESHOT, SIGNAL
from venation.studies.base import base_study, recorded_config
from venation.studies.migrate import migrate_study
from venation.trials.checkpoint import load_weights, read_weights
from venation.trials.evaluate import evaluate
from venation.trials.kinds import Kind
from venation.workers.oneshot import PICTURE, RANKING

SPACE = (
    "decoder.widths.deform3: [0.0, 0.25]\ndecoder.widths.atrous2: [0.0, 0.125, 0.25]\n"
    "decoder.widths.meanmax: [0.125, 0.25]\ntrain.lr: {low: 0.001, high: 0.01}\n"
)
TINY = {"decoder.channels": 8, "train.batch_size": 8, "decoder.widths.deform5": 0, "decoder.widths.atrous3": 0}
NAMES = ["decoder.widths.deform3", "decoder.widths.atrous2", "decoder.widths.meanmax"]


@pytest.fixture
def veins(harness: StudyHarness, tmp_path: Path) -> Callable[..., StudyHandle]:
    """Create a decoder study with a supernet on a small base that is not trained yet."""
    harness.create("soy")

    def create(name: str = "veins", *, space: str = SPACE, **options: Any) -> StudyHandle:
        path = tmp_path / f"{name}.yaml"
        path.write_text(space)
        settings = TINY | {"train.epochs": 2} | options.pop("settings", {})
        options = {"trials": 8, "search": "oneshot"} | options
        return harness.create(name, "decoder", base="soy", space=path, settings=settings, **options)

    return create


def test_another_space_needs_another_supernet(harness: StudyHarness, veins: Callable[..., StudyHandle]) -> None:
    with pytest.raises(UsageError, match="`veins` has a supernet of its own space.*--search oneshot --space FILE"):
        migrate_study(veins(), harness.artifacts, "next")


def points(handle: StudyHandle) -> list[tuple[float, ...]]:
    """Return the widths of every trial in order, also of those that have not started."""
    trials = handle.study.get_trials(deepcopy=False)
    return [tuple(t.system_attrs.get("fixed_params", t.params)[name] for name in NAMES) for t in trials]


def ranking(harness: StudyHarness, handle: StudyHandle, tmp_path: Path) -> list[dict[str, str]]:
    trial = handle.study.get_trials(deepcopy=False)[0]
    path = get_file(harness.artifacts, trial, RANKING, to=tmp_path, storage=harness.storage)
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_first_trials_are_the_widest_the_recipe_the_cheapest_and_random_points(
    veins: Callable[..., StudyHandle],
) -> None:
    handle = veins(trials=9, settings={"decoder.channels": 16})
    # The learning rate is no width and stays that of the recipe.
    assert [d.name for d in handle.spec.space.dimensions] == NAMES and split_budget(9) == (1, 4)
    recipe_widths, cheapest = (0.125, 0.125), (0.0, 0.0, 0.125)
    first = points(handle)
    assert first[0] == (0.25, 0.25, 0.25) and first[2] == cheapest
    # The first branch has no choice 1/8, as in the recipe, and keeps its largest width.
    assert first[1] == (0.25, *recipe_widths)
    groups = {
        group: [tuple(point.values()) for point in found] for group, found in comparison_points(handle.spec).items()
    }
    random = groups["random"]
    assert len(random) == len(set(random)) == 4 and first[0] not in random
    assert (groups["widest"], groups["recipe"], groups["cheapest"]) == ([first[0]], [first[1]], [cheapest])
    assert set(first) == {*first[:3], *random} and len(first) == len(set(first))


def test_a_small_space_is_ranked_fully_and_a_large_one_by_a_sample_with_the_starts(
    veins: Callable[..., StudyHandle],
) -> None:
    handle = veins()
    ranked = ranked_configs(handle.spec)
    widths = [tuple(getattr(config.decoder.widths, name.split(".")[-1]) for name in NAMES) for config in ranked]
    every = {(a, b, c) for a in (0.0, 0.25) for b in (0.0, 0.125, 0.25) for c in (0.125, 0.25)}
    assert len(widths) == len(every) and set(widths) == every and widths[0] == (0.25, 0.25, 0.25)
    assert all(config.train == handle.spec.config.train for config in ranked)
    space = Space(dimensions=(*MNSA_SPACE.dimensions[:4], Float(name="decoder.widths.meanmax", low=0.1, high=0.3)))
    found = design_oneshot(Kind.DECODER, recipe("default", "decoder").config, space, trials=20, seed=1)
    large = handle.spec.model_copy(update={"config": found.config, "space": space, "starts": tuple(found.starts)})
    sample = ranked_configs(large)
    assert len(sample) == len(set(sample)) == 256 and sample[0] == found.config
    assert sample == ranked_configs(large) and found.config.decoder.widths.meanmax == 0.3
    assert all(set_fields(found.config, start) in sample for start in found.starts)
    assert len(ranked_configs(large.model_copy(update={"space": MNSA_SPACE}))) >= 243


def test_a_budget_is_shared_between_the_best_and_random_points() -> None:
    for trials in range(5, 40):
        top, random = split_budget(trials)
        assert 1 <= top <= 5 and top <= random <= top + 3 and 3 + top + random <= trials
        # The supernet costs three trainings more than its trial: that many random points are added.
        assert random == top + 3 or trials < 8
    assert split_budget(20) == split_budget(None) == (5, 8)


def test_no_trial_is_sampled_before_the_first_has_ended(
    harness: StudyHarness, veins: Callable[..., StudyHandle]
) -> None:
    handle = veins(trials=9)
    enqueued = len(points(handle))
    leases = [claim(handle, max_losses=3) for _ in range(enqueued)]
    assert [lease.trial.number for lease in leases if lease] == list(range(enqueued)) and enqueued < 9
    assert claim(handle, max_losses=3) is None and not is_finished(handle)
    for lease in leases[1:]:
        assert lease is not None
        lease.end(TrialState.COMPLETE, 0.5)
    assert claim(handle, max_losses=3) is None and not is_finished(handle)
    # After a failed first trial the study is an ordinary search.
    assert leases[0] is not None
    leases[0].end(TrialState.FAIL, cause="nan: training losses became nan")
    refuse(EXPECTED_FAILURE, "study", "oneshot", "veins", "--storage", url(harness), says=("FAIL (nan: training",))
    later = claim(handle, max_losses=3)
    assert later is not None and later.trial.number == enqueued


def test_a_oneshot_study_from_supernet_to_verdict(
    harness: StudyHarness, veins: Callable[..., StudyHandle], tmp_path: Path
) -> None:
    handle = veins(trials=8)
    harness.work(base_study(handle))
    refuse(EXPECTED_FAILURE, "study", "oneshot", "veins", "--storage", url(harness), says=("trial 0 is WAITING",))
    # Trial 0, the recipe, the cheapest, four random ones (one of which may be one of these), one of
    # the best.
    top, _ = split_budget(8)
    assert harness.work(handle) == 8 and is_finished(handle)
    trials = handle.study.get_trials(deepcopy=False)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE} and len(trials) == 8
    assert {file.filename for file in list_files(trials[0], storage=harness.storage)} >= {RANKING, PICTURE, WEIGHTS}
    rows_ = ranking(harness, handle, tmp_path)
    values, record = [float(row["value"]) for row in rows_], handle.study.user_attrs[ONESHOT.key]
    assert [int(row["rank"]) for row in rows_] == list(range(1, 13)) and values == sorted(values, reverse=True)
    # The widest is trial 0 itself, at any rank.
    best = [widths for row in rows_ if (widths := tuple(float(row[name]) for name in NAMES)) != (0.25, 0.25, 0.25)][
        :top
    ]
    assert set(best) <= set(points(handle)) and record["ranked"] == 12
    assert [tuple(row["params"][name] for name in NAMES) for row in record["top"]] == best
    # The stored network is the widest decoder, with the reported value.
    context = harness.context(handle)
    config = context.spec.config.model_copy(update={"encoder": recorded_config(context.base).encoder})
    network = context.network(config.model_copy(update={"data": recorded_config(context.base).data}))
    stored = get_file(harness.artifacts, trials[0], WEIGHTS, to=tmp_path, storage=harness.storage)
    load_weights(network, network.state_dict() | read_weights(stored), source="the trial")
    val = context.loaders.make(recorded_config(trials[0]), "val")
    assert evaluate(network, val, device=torch.device("cpu"), task="segment")["iou"] == trials[0].value
    said = rows("study", "oneshot", "veins", "--storage", url(harness))
    assert said["outcome"] in ("won", "no better", "lost") and said["ranked"] == 12
    by_number = {trial.number: trial.value for trial in trials}
    assert all(row["iou"] == by_number[row["trial"]] for row in said["trials"])
    tops = [row["iou"] for row in said["trials"] if row["group"] == "top"]
    assert len(tops) == top and said["best"]["top"] == max(tops)
    assert all(row["expected"] in values for row in said["trials"])
    assert said["text"].splitlines()[-1] in succeed("study", "oneshot", "veins", "--storage", url(harness))


def test_a_killed_supernet_resumes_and_ranks_the_same(
    harness: StudyHarness,
    veins: Callable[..., StudyHandle],
    start_worker: Callable[..., WorkerProcess],
    pause_at: Callable[[int], Pause],
    tmp_path: Path,
) -> None:
    undisturbed, handle = veins("undisturbed"), veins("veins")
    harness.work(base_study(handle))
    harness.work(undisturbed, max_trials=1)
    pause = pause_at(1)
    worker = start_worker("veins", "--max-trials", "1")
    pause.wait(worker)
    worker.send(signals.SIGKILL)
    worker.wait()
    pause.release()
    harness.silence()
    successor = start_worker("veins", "--max-trials", "1")
    assert successor.wait() == 0, successor.log.read_text()
    log = successor.log.read_text()
    assert "trial 0: resumed" in log and "epoch 1/2" not in log and "epoch 2/2" in log, log
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert ranking(harness, handle, tmp_path / "a") == ranking(harness, undisturbed, tmp_path / "b")
    assert points(handle) == points(undisturbed)


def finish(
    harness: StudyHarness,
    handle: StudyHandle,
    top: list[float],
    random: list[float],
    cheapest: float,
    *,
    widest: float = 0.1,
    open_trials: int = 0,
) -> None:
    """End a study's trials as if a supernet had ranked them by their expected values."""
    groups = comparison_points(handle.spec)
    taken = points(handle)
    free = [handle.spec.space.point(config) for config in ranked_configs(handle.spec)]
    best = [point for point in free if tuple(point.values()) not in taken][: len(top)]
    values = {tuple(p.values()): v for p, v in zip((*best, *groups["random"]), (*top, *random), strict=True)}
    values[tuple(groups["cheapest"][0].values())] = cheapest
    for point in best:
        handle.study.enqueue_trial(point)
    expected = [
        {"params": dict(zip(NAMES, point, strict=True)), "value": 0.5 + value / 9} for point, value in values.items()
    ]
    record = {"ranked": 12, "top": expected[: len(top)], "started": expected[len(top) :]}
    handle.study.set_user_attr(ONESHOT.key, record | {"train_seconds": 6.0, "rank_seconds": 3.0})
    values[points(handle)[0]] = widest
    for point in points(handle)[: -open_trials or None]:
        harness.end_next(handle, TrialState.COMPLETE, values.get(point, 0.1))


RANDOM = (0.6, 0.5, 0.4, 0.3, 0.2)


@pytest.mark.parametrize(
    ("top", "random", "cheapest", "noise", "outcome", "says"),
    [
        ((0.8, 0.7), RANDOM, 0.3, 0.05, "won", ("The supernet's ranking won", "0.8", "0.6", "0.3", "Use trial 8.")),
        (
            (0.62, 0.7),
            (0.68, *RANDOM[1:]),
            0.3,
            0.05,
            "no better",
            ("is no better", "within the noise of a seed"),
        ),
        ((0.5, 0.4), (0.8, *RANDOM[1:]), 0.3, 0.05, "lost", ("The supernet's ranking lost", "(random)")),
        ((0.5, 0.4), RANDOM, 0.9, None, "lost", ("(cheapest)", "`venation study signal`", "Use trial 2")),
        ((0.62, 0.7), (0.68, *RANDOM[1:]), 0.3, None, "won", ("is unknown",)),
        ((0.6, 0.5), RANDOM, 0.3, None, "no better", ("there is no difference. Search", "is unknown")),
    ],
)
def test_the_verdict_names_a_supernet_that_does_not_win(
    harness: StudyHarness,
    veins: Callable[..., StudyHandle],
    top: Any,
    random: Any,
    cheapest: float,
    noise: Any,
    outcome: str,
    says: Any,
) -> None:
    handle = veins(trials=10, settings={"decoder.channels": 16})
    if noise is not None:
        handle.study.set_user_attr(SIGNAL.key, {"within": noise})
    finish(harness, handle, list(top), list(random), cheapest)
    verdict = judge_oneshot(handle)
    assert verdict.outcome == outcome and [words for words in says if words not in verdict.text] == [], verdict.text
    pairs = {e.number: (e.expected, e.value) for e in verdict.entries if e.expected is not None}
    tau = stats.kendalltau(*zip(*pairs.values(), strict=True)).statistic
    assert len(pairs) == 8 and f"values is {tau:.2f} (" in verdict.text and "favours the ranking" not in verdict.text


def test_unfinished_trials_leave_the_verdict_open(harness: StudyHarness, veins: Callable[..., StudyHandle]) -> None:
    handle = veins(trials=10, settings={"decoder.channels": 16})
    finish(harness, handle, [0.8, 0.7], list(RANDOM), 0.3, open_trials=2)
    verdict = judge_oneshot(handle)
    assert verdict.outcome == "pending" and "trials 8, 9 have not ended" in verdict.text
    harness.end_next(handle, TrialState.FAIL)
    harness.end_next(handle, TrialState.PRUNED, 0.1)
    verdict = judge_oneshot(handle)
    assert verdict.outcome == "pending" and "top-ranked configs (2): none finished" in verdict.text


def test_the_recommended_trial_is_the_best_of_the_study(
    harness: StudyHarness, veins: Callable[..., StudyHandle]
) -> None:
    options = {"trials": 11, "settings": {"decoder.channels": 16}}
    # The widest is trial 0, the recipe trial 1; trial 10 is sampled after the enqueued ones.
    for number, (widest, drawn, outcome, says) in enumerate(
        (
            (0.9, 0.1, "lost", "Use trial 0 (widest)"),
            (0.1, 0.9, "won", "Use trial 10, the best of the study with 0.9, instead of trial 8."),
            (0.1, 0.82, "won", "Use trial 8 (best of the study: trial 10 with 0.82, within the noise)."),
            (0.79, 0.1, "no better", "that is as good, trial 8."),
        )
    ):
        handle = veins(f"veins{number}", **options)
        handle.study.set_user_attr(SIGNAL.key, {"within": 0.05})
        finish(harness, handle, [0.8, 0.7], list(RANDOM), 0.3, widest=widest)
        harness.end_next(handle, TrialState.COMPLETE, drawn)
        verdict = judge_oneshot(handle)
        assert verdict.outcome == outcome and says in verdict.text, verdict.text
        assert f"widest config (1): {widest}, recipe (1): 0.1" in verdict.text
        assert verdict.record()["best_of_all"] == max((widest, 0), (0.8, 8), (drawn, 10))[1]


def test_the_verdict_names_a_point_that_both_sides_found(
    harness: StudyHarness, veins: Callable[..., StudyHandle]
) -> None:
    handle = veins(trials=10, settings={"decoder.channels": 16})
    finish(harness, handle, [0.1, 0.1], list(RANDOM), 0.3)
    record = handle.study.user_attrs[ONESHOT.key]
    best = next(row for row in record["started"] if row["params"] == comparison_points(handle.spec)["random"][0])
    handle.study.set_user_attr(ONESHOT.key, record | {"top": [best, record["top"][0]]})
    verdict = judge_oneshot(handle)
    assert verdict.outcome == "no better", verdict.text
    assert f"trial {verdict.best[0]} is both the best of the ranking and a random config" in verdict.text
    assert "noise of a seed. Search" not in verdict.text


def test_the_verdict_names_too_few_random_points(harness: StudyHarness, veins: Callable[..., StudyHandle]) -> None:
    handle = veins(trials=6, settings={"decoder.channels": 16})
    finish(harness, handle, [0.8], list(RANDOM[:2]), 0.3)
    assert "The random configs took 2 trainings fewer than the supernet" in judge_oneshot(handle).text


REFUSED: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("classifier", "train.lr: [0.1]", {}, "slices a decoder on a frozen base, and this is a classifier study"),
    ("decoder", SPACE, {"settings": {"decoder.kind": "unet"}}, "decoder.kind=mnsa, and unet has none"),
    ("decoder", "train.lr: [0.1, 0.2]", {}, "this space searches none"),
    ("decoder", "decoder.widths.deform3: [0.25]\ntrain.lr: [0.1, 0.2]", {}, "3 points or more, and this space has 1"),
    ("decoder", "decoder.widths.deform3: [0, 0.25]", {}, "3 points or more, and this space has 2"),
    ("decoder", "decoder.kind: [unet, unet3p]\n" + SPACE, {}, "which this space does not hold"),
    ("decoder", SPACE, {"trials": 4}, "at least 5, not --trials 4"),
    ("decoder", SPACE, {"objective": ["iou", "parameters"]}, "ranks by one objective"),
    ("decoder", SPACE, {"constraint": "parameters<=1e9"}, "no constraints"),
    ("decoder", SPACE, {"search": "wander"}, "`search` = 'wander': input should be 'trials' or 'oneshot'"),
)


def test_a_space_without_widths_is_refused_at_creation(harness: StudyHarness, tmp_path: Path) -> None:
    harness.create("soy")
    path = tmp_path / "space.yaml"
    for kind, space, options, says in REFUSED:
        path.write_text(space)
        base = {"base": "soy"} if kind == "decoder" else {}
        with pytest.raises(UsageError) as refused:
            harness.create("veins", kind, **({"search": "oneshot", "trials": 8, "space": path} | base | options))
        assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_study_without_a_supernet_has_no_verdict(harness: StudyHarness) -> None:
    harness.create("plain")
    refuse(MISUSE, "study", "oneshot", "plain", "--storage", url(harness), says=("`--search oneshot`",))


def url(harness: StudyHarness) -> str:
    return harness.storage.engine.url.render_as_string(hide_password=False)
