"""The threshold of the answer ``unknown`` in a bundle, from the answers of its trial."""

import tempfile
from pathlib import Path

from ..errors import UserError
from ..storage.artifacts import Artifacts, get_file
from ..trials.image_outcomes import OUTCOMES, ImageOutcomes
from ..trials.unknown import choose_threshold
from .base import find_file
from .ensemble import Pick


def unknown_threshold(pick: Pick, artifacts: Artifacts) -> float | None:
    """Return the threshold by the answers of a trial on its validation images, out of fold.

    Of an ensemble, ``pick`` is the best trial. None for a trial without stored answers.
    """
    try:
        find_file(pick.handle, pick.trial, OUTCOMES)
    except UserError:
        return None
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        path = get_file(artifacts, pick.trial, OUTCOMES, to=Path(folder), storage=pick.handle.storage)
        found = ImageOutcomes.read(path)
    return choose_threshold(found.label_I, found.answer_I, found.logloss_I)
