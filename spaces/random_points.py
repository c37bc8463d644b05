"""Points of a space drawn at random, without repeats, in an order that a seed fixes."""

import itertools
from collections.abc import Iterator

import optuna

from ..errors import UsageError
from ..trials.trial_config import TrialConfig
from .space import Space

DRAWS = 50  # draws for each point before a space counts as exhausted


def draw_configs(space: Space, config: TrialConfig, count: int, *, seed: int) -> list[TrialConfig]:
    """Up to ``count`` points of the space around ``config``, as ``drawn_configs`` says."""
    return list(itertools.islice(drawn_configs(space, config, DRAWS * count, seed=seed), count))


def drawn_configs(space: Space, config: TrialConfig, draws: int, *, seed: int) -> Iterator[TrialConfig]:
    """Points of the space around ``config`` without repeats, in an order that ``seed`` fixes; at most ``draws`` draws.

    ``config`` itself is the first if it is a point. Values that make no config together are no point.
    """
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    seen = set[TrialConfig]()
    if not space.misses(config):
        seen.add(config)
        yield config
    for _ in range(draws):
        try:
            drawn = space.suggest(study.ask(), config)
        except UsageError:
            continue
        if drawn not in seen:
            seen.add(drawn)
            yield drawn
