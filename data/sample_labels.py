"""Labels of samples as numbers, and the masks that blanking needs."""

from collections.abc import Sequence

from ..errors import DataError
from .manifest import Sample


def label_indices(samples: Sequence[Sample], classes: Sequence[str]) -> list[int]:
    """Return the position of each sample's label; DataError for a label that is no class."""
    index = {label: position for position, label in enumerate(classes)}
    for sample in samples:
        if sample.label not in index:
            raise DataError(
                f"{sample.image} has label {sample.label!r}, not one of the {len(index)} classes: relabel it"
            )
    return [index[sample.label] for sample in samples]


def require_masks(samples: Sequence[Sample]) -> None:
    """Raise DataError if a sample has no mask."""
    bare = [sample.image for sample in samples if sample.mask is None]
    if bare:
        raise DataError(f"{bare[0]} and {len(bare) - 1} more have no mask to blank the background by: leave them out")
