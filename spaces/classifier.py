"""What a classifier study searches around its preset."""

from .space import Choice, Float, Space

CLASSIFIER_SPACE = Space(
    dimensions=(
        Float(name="train.lr", low=3e-4, high=1e-2, log=True),
        Float(name="train.weight_decay", low=1e-3, high=0.2, log=True),
        Choice(name="gate", choices=("none", "mean", "meanmax")),
        Choice(name="train.label_smoothing", choices=(0.0, 0.1)),
    )
)
