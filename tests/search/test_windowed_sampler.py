"""The history that a sampler is shown of a large study."""

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from venation.search.windowed_sampler import WINDOW, WindowedSampler

X = FloatDistribution(0, 1)


class Probe(RandomSampler):
    """Remembers the trials that it is shown."""

    shown: list[FrozenTrial]

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, given: Any) -> Any:
        self.shown = study.get_trials(deepcopy=False)
        return super().sample_independent(study, trial, param_name, given)


def study_of(values: Any, *, directions: tuple[str, ...] = ("maximize",), pruned: int = 0) -> optuna.Study:
    """Make a study whose trials sampled x; the last ``pruned`` of them are PRUNED."""
    study = optuna.create_study(directions=directions)
    rng = np.random.default_rng(1)
    points = np.asarray(values, dtype=float).reshape(len(values), -1)
    for number, point in enumerate(points.tolist()):
        known: dict[str, Any] = {"params": {"x": rng.uniform(0, 1)}, "distributions": {"x": X}}
        if number >= len(points) - pruned:
            known |= {"state": TrialState.PRUNED, "intermediate_values": {0: point[0]}}
        study.add_trial(optuna.trial.create_trial(values=point, **known))
    return study


def shown(study: optuna.Study, window: int) -> list[int]:
    probe = Probe(seed=0)
    frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
    WindowedSampler(probe, window=window).sample_independent(study, frozen, "x", X)
    return sorted(trial.number for trial in probe.shown)


def draw(study: optuna.Study, sampler: optuna.samplers.BaseSampler) -> float:
    frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
    return float(sampler.sample_independent(study, frozen, "x", X))


def test_a_study_within_the_window_is_shown_whole() -> None:
    study = study_of(np.random.default_rng(0).normal(size=WINDOW), pruned=40)
    for seed in range(5):
        assert draw(study, WindowedSampler(TPESampler(seed=seed))) == draw(study, TPESampler(seed=seed))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_of_a_large_study_the_good_and_the_latest_are_seen(direction: str) -> None:
    values = np.random.default_rng(0).normal(size=400)
    study = study_of(values, directions=(direction,))
    best = set(np.argsort(-values if direction == "maximize" else values)[:10].tolist())
    latest = [number for number in range(400) if number not in best][-90:]
    assert shown(study, 100) == sorted([*best, *latest])


def test_infeasible_trials_are_not_good_and_running_trials_are_shown() -> None:
    values = np.random.default_rng(0).normal(size=300)
    study = study_of(values)
    breaking = optuna.trial.create_trial(values=[99.0], params={"x": 0.5}, distributions={"x": X}, constraints={"c": 1})
    study.add_trial(breaking)
    for value in values[:100].tolist():
        study.add_trial(optuna.trial.create_trial(values=[value - 9], params={"x": 0.1}, distributions={"x": X}))
    study.ask()
    seen = shown(study, 50)
    assert 300 not in seen and 401 in seen and len(seen) == 51
    assert set(np.argsort(-values)[:5].tolist()) <= set(seen)


def test_where_few_have_finished_the_best_of_the_pruned_are_good() -> None:
    values = np.random.default_rng(0).permutation(200).astype(float)
    study = study_of(values, pruned=198)
    best = [0, 1, *(2 + np.argsort(-values[2:])[:3]).tolist()]
    latest = [number for number in range(200) if number not in best][-45:]
    assert shown(study, 50) == sorted([*best, *latest])


def test_of_equal_trials_those_with_the_lower_log_loss_are_good() -> None:
    loss = np.random.default_rng(0).permutation(300) / 300
    study = optuna.create_study(direction="maximize")
    for each in loss.tolist():
        known: dict[str, Any] = {"params": {"x": each}, "distributions": {"x": X}, "user_attrs": {}}
        known["user_attrs"]["metrics"] = {"logloss": each}
        study.add_trial(optuna.trial.create_trial(values=[0.5], **known))
    best = np.argsort(loss)[:10].tolist()
    latest = [number for number in range(300) if number not in best][-90:]
    assert shown(study, 100) == sorted([*best, *latest])
    drawn = [draw(study, WindowedSampler(TPESampler(seed=seed))) for seed in range(20)]
    assert np.mean(drawn) < 0.15, "the good group is the tenth with the lowest log-loss"


def test_the_whole_front_of_several_objectives_is_shown() -> None:
    x = np.random.default_rng(0).permutation(300) / 300
    behind = np.random.default_rng(1).uniform(1.2, 2, size=(300, 2))
    points = np.concatenate([np.stack([x, 1 - x], axis=1)[:8], behind])
    seen = shown(study_of(points, directions=("minimize", "minimize")), 100)
    assert set(range(8)) <= set(seen) and len(seen) == 100


def test_a_large_study_is_searched_as_well_as_by_tpe_alone() -> None:
    x = np.random.default_rng(2).uniform(0, 1, 600)
    study = optuna.create_study()
    for each in x.tolist():
        trial = optuna.trial.create_trial(values=[(each - 0.7) ** 2], params={"x": each}, distributions={"x": X})
        study.add_trial(trial)
    seen, whole = (
        np.mean([abs(draw(study, make(TPESampler(seed=seed))) - 0.7) for seed in range(30)])
        for make in (WindowedSampler, lambda sampler: sampler)
    )
    assert seen < 0.1 and whole < 0.1, "uniform draws are 0.29 away on average"


def test_hyperband_draws_as_with_tpe_alone() -> None:
    draws = []
    for wrap in (WindowedSampler, lambda sampler: sampler):
        study = optuna.create_study(study_name="soy", pruner=optuna.pruners.HyperbandPruner(1, 9, 3))
        drawn = []
        for number in range(40):
            study.sampler = wrap(TPESampler(seed=number))
            trial = study.ask()
            drawn.append(trial.suggest_float("x", 0, 1))
            trial.report(drawn[-1], 0)
            study.tell(trial, drawn[-1])
        draws.append(drawn)
    assert draws[0] == draws[1]
