"""The check at export that the recorded validation scores of the trials are reproduced."""

from collections.abc import Mapping

from ..bundles.record import BundleRecord, Interval
from ..errors import UserError
from ..trials.kinds import REFERENCE_IOU, Kind
from ..trials.metrics import LABEL_METRICS
from .ensemble import Pick

# Largest difference of a score, beside that of one image: another device or version rounds.
TOLERANCE = 0.01


def require_reproduced(picks: Mapping[Kind, Pick], record: BundleRecord) -> None:
    """Compare each trial's value with the bundle's score on the validation split.

    Raises UserError if they differ. Left out are ensembles and folds, whose score is another one,
    and the reference IoU, which depends on the batch size.
    """
    for kind, pick in picks.items():
        source = pick.source()
        found = record.metrics["val"].get(_metric(kind, source.objective, record))
        if found is None or record.members_of(source.kind) or pick.handle.spec.folds:
            continue
        if not abs(found.value - source.value) <= _allowed(found, record.images["val"]):
            raise UserError(
                f"trial {source.trial} of `{source.study}` recorded {source.objective} {source.value:.4f} on the"
                f" validation split, and its weights now give {found.value:.4f}: the data, the weights or the version"
                " of a library changed; the bundle was not written."
            )


def _metric(kind: Kind, objective: str, record: BundleRecord) -> str:
    """Return the name of the bundle's score that a trial's objective is; empty if it has none."""
    if objective == REFERENCE_IOU:
        return ""
    by_head = record.has_booster and kind is not Kind.BOOSTER and objective in LABEL_METRICS
    return f"head_{objective}" if by_head else objective


def _allowed(found: Interval, images: int) -> float:
    return max(TOLERANCE, TOLERANCE * abs(found.value)) + 1 / max(1, images)
