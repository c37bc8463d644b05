"""The pruners of a study, built from its spec by every worker."""

import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import optuna
from pydantic import BeforeValidator

from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .asha import default_first


def _pruner_name(given: Any) -> Any:
    # Version 0.1 called it by what it prunes at.
    return "asha" if given == "rungs" else given


Pruner = Annotated[Literal["median", "hyperband", "asha", "wilcoxon", "none"], BeforeValidator(_pruner_name)]


def default_pruner(kind: Kind, config: TrialConfig, objectives: Sequence[str], *, folds: int) -> str:
    """Return the default pruner for a kind, its folds and its number of objectives."""
    if len(objectives) > 1:
        return "asha" if kind.facts.has_epochs and not folds else "none"
    return "wilcoxon" if folds or (kind.facts.has_folds and config.boost.folds) else "median"


def build_pruner(name: str, epochs: int, *, first_rung: int | None, eta: int) -> optuna.pruners.BasePruner:
    """Build the pruner ``name`` of Optuna for trials of so many ``epochs``.

    ``first_rung`` and ``eta`` are those of the spec. Rungs of asha pause trials, which no pruner of
    Optuna can, so the trials themselves do.
    """
    if name in ("none", "asha"):
        return optuna.pruners.NopPruner()
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(first_rung or default_first(epochs), epochs, eta)
    if name == "wilcoxon":
        with warnings.catch_warnings():
            # Experimental in Optuna, which says so at every construction.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.pruners.WilcoxonPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
