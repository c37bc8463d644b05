"""Sample distinct random configs of a space in an order that a seed fixes."""

import itertools
from collections.abc import Iterator

import optuna

from ..errors import UsageError
from ..trials.trial_config import TrialConfig
from .space import Space

DRAWS_PER_POINT = 50  # draws for each point before a space counts as exhausted


def random_configs(space: Space, config: TrialConfig, count: int, *, seed: int) -> list[TrialConfig]:
    """Return up to ``count`` configs of the space around ``config``, as ``iter_random_configs``."""
    return list(itertools.islice(iter_random_configs(space, config, DRAWS_PER_POINT * count, seed=seed), count))


def iter_random_configs(space: Space, config: TrialConfig, draws: int, *, seed: int) -> Iterator[TrialConfig]:
    """Yield distinct configs of the space around ``config`` from at most ``draws`` draws.

    ``seed`` fixes their order. ``config`` itself comes first if it is a point of the space. Values
    that cannot form a config together are skipped.
    """
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    seen = set[TrialConfig]()
    if not space.outside(config):
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
