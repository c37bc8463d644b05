"""The recorded linear probe of a study, in words and as a row; light to import."""

from typing import Any

from ..search.handle import StudyHandle
from ..storage.attributes import PROBE, VERSUS_PROBE
from ..trials.paired import PairedDifference, describe_difference
from .registry import best_trial


def describe_probe(record: dict[str, Any]) -> str:
    """Return the record of a study's probe as a sentence without a full stop."""
    if "missing" in record:
        return f"no linear probe to compare with: {record['missing']}"
    images, seconds = record["images"], record["seconds"]
    return (
        f"linear probe: accuracy {record['accuracy']:.3f} on {images} validation images in {seconds:.0f} s: the bar"
        " to beat"
    )


def baseline_row(handle: StudyHandle) -> dict[str, Any]:
    """Return the probe's record and the best trial's difference from it, as far as they exist."""
    record, best = PROBE.get(handle.study), best_trial(handle)
    if record is None:
        return {}
    versus = None if best is None else VERSUS_PROBE.get(best)
    if best is None or versus is None:
        return {"probe": record}
    said = describe_difference(PairedDifference(**versus), first=f"trial {best.number}", images="validation")
    return {"probe": record, "versus_probe": {"trial": best.number, "says": said, **versus}}
