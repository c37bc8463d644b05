"""The search spaces of classifier studies."""

from .space import Choice, Float, Space

CLASSIFIER_SPACE = Space(
    dimensions=(
        Float(name="train.lr", low=3e-4, high=1e-2, log=True),
        Float(name="train.weight_decay", low=1e-3, high=0.2, log=True),
        Choice(name="gate", choices=("none", "mean", "meanmax")),
        Choice(name="train.label_smoothing", choices=(0.0, 0.1)),
        Choice(name="data.colour", choices=(0.0, 0.1, 0.3)),
        Choice(name="data.min_area", choices=(0.6, 1.0)),
        Choice(name="data.blank", choices=(0.0, 0.1, 0.3)),
    )
)

# For a frozen encoder: the training and the width of the module on top.
FROZEN_SPACE = Space(
    dimensions=(
        Float(name="train.lr", low=1e-4, high=1e-2, log=True),
        Choice(name="plugin.width", choices=(128, 256, 512)),
        Choice(name="plugin.rule", choices=("own", "image")),
        Float(name="train.plugin.dropped", low=0.1, high=5.0, log=True),
        Float(name="train.plugin.refine", low=0.01, high=2.0, log=True),
    )
)
