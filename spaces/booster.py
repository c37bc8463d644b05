"""The search spaces of booster studies."""

from .space import Choice, Float, Int, Space

# XMNet section 5.2 without the three parameters that gblinear ignores.
XMNET_BOOSTER_SPACE = Space(
    dimensions=(
        Float(name="boost.reg_lambda", low=1e-8, high=1.0, log=True),
        Float(name="boost.reg_alpha", low=1e-8, high=1.0, log=True),
        Float(name="boost.eta", low=1e-8, high=1.0, log=True),
    )
)

_FITTED = ("logistic", "gblinear", "gbtree", "dart")
_BOOSTED = ("gblinear", "gbtree", "dart")
_TREES = ("gbtree", "dart")

# Each booster has only the dimensions that it uses: three of XMNet's six parameters had no effect.
# A learning rate of 1e-8 learns nothing in a hundred rounds, so only the useful decades are
# searched.
BOOSTER_SPACE = Space(
    dimensions=(
        Choice(name="boost.booster", choices=("logistic", "gblinear", "gbtree", "dart", "head")),
        Float(name="boost.reg_lambda", low=1e-6, high=10.0, log=True, when={"boost.booster": _FITTED}),
        Float(name="boost.reg_alpha", low=1e-8, high=0.1, log=True, when={"boost.booster": _BOOSTED}),
        Float(name="boost.eta", low=0.01, high=1.0, log=True, when={"boost.booster": _BOOSTED}),
        Int(name="boost.max_depth", low=1, high=6, when={"boost.booster": _TREES}),
        Float(name="boost.subsample", low=0.4, high=1.0, when={"boost.booster": _TREES}),
        Float(name="boost.colsample", low=0.05, high=1.0, log=True, when={"boost.booster": _TREES}),
        Float(name="boost.drop", low=0.0, high=0.5, when={"boost.booster": ("dart",)}),
        # Each round of dart reads all earlier trees: a hundred rounds would take as long as a
        # thousand of gbtree.
        Int(name="boost.rounds", low=5, high=20, when={"boost.booster": ("dart",)}),
    )
)
