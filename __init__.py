"""Venation: AutoML search for ultra-fine-grained images.

Importing the package loads nothing heavy: each public name loads its module at its first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.bundle import Bundle as Bundle
    from .api.bundle import load_bundle as load_bundle
    from .trials.predict import Prediction as Prediction

__version__ = "0.2.0"

_MODULES = {"Bundle": ".api.bundle", "load_bundle": ".api.bundle", "Prediction": ".trials.predict"}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its names are: {', '.join(__all__)}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
