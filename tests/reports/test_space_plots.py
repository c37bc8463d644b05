import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, create_trial

from venation.reports.space_plots import mean_values

WIDTHS = CategoricalDistribution([0.0, 0.125, 0.25])


def trial(value: float, **params: float) -> FrozenTrial:
    return create_trial(value=value, params=params, distributions=dict.fromkeys(params, WIDTHS))


def test_the_mean_of_a_width_is_that_of_the_trials_that_drew_it() -> None:
    trials = [trial(0.2, deform=0.0, atrous=0.25), trial(0.6, deform=0.0), trial(0.9, atrous=0.125)]
    mean, count = mean_values(trials, ["deform", "atrous"], [0.0, 0.125, 0.25])
    assert count.tolist() == [[2, 0, 0], [0, 1, 1]]
    assert np.allclose(mean, [[0.4, np.nan, np.nan], [np.nan, 0.9, 0.2]], equal_nan=True)
