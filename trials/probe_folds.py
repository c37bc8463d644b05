"""Cross-validation of the linear probe: stratified folds that keep groups whole.

Shapes: N images, C features, K classes.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from ..errors import DataError
from .features import Features, take
from .metrics import Ints
from .probe import fit_probe

# The fold of an image that always trains and is never scored.
ALWAYS_TRAINS = -1


def stratified_folds(label_N: Ints, groups: Sequence[str], *, folds: int, seed: int) -> Ints:
    """Return the fold of every image, from 0, or ALWAYS_TRAINS.

    There are at most as many folds as the class of most groups has groups. A class of one group
    always trains, because no other image could teach it, and so does all of that group; so does one
    group of a class that would be in one fold as a whole. Raises DataError if no class has two
    other groups.
    """
    group_N = np.asarray(groups)
    groups_of = {label: np.unique(group_N[label_N == label]) for label in np.unique(label_N)}
    single = [found[0] for found in groups_of.values() if len(found) == 1]
    count = min(folds, max(len(np.setdiff1d(found, single)) for found in groups_of.values()))
    if count < 2:
        mixed = "" if len(single) == len(groups_of) else ", apart from groups that hold all images of another class"
        raise DataError(
            f"every class has one image or one group{mixed}: cross-validation needs two of a class, add images"
        )
    scored = np.flatnonzero(~np.isin(group_N, single))
    fold_N = np.full(len(label_N), ALWAYS_TRAINS)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class may have fewer groups than there are folds: some folds then score no image of it.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, held_out) in enumerate(splitter.split(scored, label_N[scored], group_N[scored])):
            fold_N[scored[held_out]] = number
    for label, found in groups_of.items():
        if len(np.unique(fold_N[label_N == label])) == 1:
            fold_N[group_N == found[0]] = ALWAYS_TRAINS
    return fold_N


def held_out_probabilities(
    features: Features, fold_N: Ints, *, num_classes: int, changed: Features | None = None
) -> NDArray[np.float32]:
    """Return each image's class probabilities by the probe that was fitted without its fold.

    The result is (N, K), zero for images that always train. With ``changed``, features of the same
    images in another form, the probes are fitted on ``features`` and answer on ``changed``.
    """
    answered = features if changed is None else changed
    probability_NK = np.zeros((len(fold_N), num_classes), np.float32)
    for fold in range(int(fold_N.max()) + 1):
        held_out = np.flatnonzero(fold_N == fold)
        probe = fit_probe(take(features, np.flatnonzero(fold_N != fold)), num_classes=num_classes)
        probability_NK[held_out] = probe.probabilities(answered.x[held_out])
    return probability_NK
