"""The configs that a study begins with, as enqueued trials; light to import."""

from collections.abc import Mapping, Sequence

import optuna

from ..search.spec import StudySpec
from ..spaces.fields import set_fields
from ..spaces.space import Scalar
from ..storage.attributes import FIXED_PARAMS


def add_starts(study: optuna.Study, spec: StudySpec, *, room: int) -> None:
    """Enqueue up to ``room`` of the starts that an earlier, smaller budget left out."""
    points = [spec.space.point(set_fields(spec.config, start)) for start in spec.starts]
    # A trial that has run has more params than the point that was enqueued for it.
    known = [FIXED_PARAMS.get(trial) or trial.params for trial in study.get_trials(deepcopy=False)]
    enqueue_points(study, [point for point in points if point not in known][:room])


def enqueue_points(study: optuna.Study, points: Sequence[Mapping[str, Scalar]]) -> None:
    """Enqueue points of the space, in order; leave out empty ones and those that are there."""
    for point in points:
        if point:
            study.enqueue_trial(dict(point), skip_if_exists=True)
