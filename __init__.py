"""Venation: AutoML search for ultra-fine-grained images.

Importing the package loads nothing heavy: each public name loads its module at its first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.bundle import Bundle as Bundle
    from .api.bundle import load_bundle as load_bundle
    from .api.first_bundle import try_data as try_data
    from .api.study import Study as Study
    from .api.study import TrialSummary as TrialSummary
    from .api.study import create_study as create_study
    from .api.study import open_study as open_study
    from .bundles.try_report import TryReport as TryReport
    from .trials.prediction import Prediction as Prediction

__version__ = "0.2.0"

_MODULES = {
    "Bundle": ".api.bundle",
    "Prediction": ".trials.prediction",
    "Study": ".api.study",
    "TrialSummary": ".api.study",
    "TryReport": ".bundles.try_report",
    "create_study": ".api.study",
    "load_bundle": ".api.bundle",
    "open_study": ".api.study",
    "try_data": ".api.first_bundle",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its names are: {', '.join(__all__)}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
