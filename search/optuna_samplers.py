"""Optuna's samplers beside TPE, each built for one trial.

CMA-ES is left out: Optuna stores its state in the database as a pickle, and it has no choices
without order.
"""

import warnings

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler

# Optuna's 50 would never see a second generation in a study of 50 trials.
_POPULATION = 20


def build_other(name: str, *, seed: int, study_seed: int) -> BaseSampler:
    """Build the sampler ``random``, ``gp``, ``nsga2`` or ``qmc`` for a trial of ``seed``.

    The points of ``qmc`` are one sequence over all trials, which ``study_seed`` fixes. Fields that
    not every trial has, and with ``qmc`` choices without order, are drawn at random.
    """
    match name:
        case "gp":
            return GPSampler(seed=seed, warn_independent_sampling=False)
        case "nsga2":
            return NSGAIISampler(population_size=_POPULATION, seed=seed)
        case "qmc":
            with warnings.catch_warnings():
                # Experimental in Optuna, which says so at every construction.
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return QMCSampler(
                    scramble=True,
                    seed=study_seed,
                    independent_sampler=RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                    warn_asynchronous_seeding=False,
                )
        case _:
            return RandomSampler(seed=seed)
