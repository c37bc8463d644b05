"""What a booster study searches."""

from .space import Float, Space

# XMNet section 5.2 without the three parameters that gblinear ignores.
XMNET_BOOSTER_SPACE = Space(
    dimensions=(
        Float(name="boost.reg_lambda", low=1e-8, high=1.0, log=True),
        Float(name="boost.reg_alpha", low=1e-8, high=1.0, log=True),
        Float(name="boost.eta", low=1e-8, high=1.0, log=True),
    )
)

# A learning rate of 1e-8 learns nothing in a hundred rounds: the useful decades only.
BOOSTER_SPACE = Space(
    dimensions=(
        Float(name="boost.reg_lambda", low=1e-6, high=1.0, log=True),
        Float(name="boost.reg_alpha", low=1e-8, high=0.1, log=True),
        Float(name="boost.eta", low=0.01, high=1.0, log=True),
    )
)
