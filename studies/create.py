"""Create studies: from a request, or from a spec."""

import logging
import re
import tempfile
import uuid
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from torch import Tensor

from ..errors import UsageError, UserError
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..search.spec_differences import spec_differences
from ..spaces.fields import set_fields
from ..storage.artifacts import Artifacts, put_file
from ..storage.attributes import CREATED, MIGRATED_FROM, SPEC, UID
from ..storage.database import study_lock
from .base import known_base
from .data import record_digests
from .first_weights import first_weights, keeps_source, write_first_weights
from .registry import find_study, open_study
from .request import StudyRequest
from .resolve import build_spec
from .starts import enqueue_points

log = logging.getLogger(__name__)

NAMES = r"\w[\w.-]{0,99}"


def create_requested(storage: RDBStorage, artifacts: Artifacts, request: StudyRequest) -> tuple[StudyHandle, bool]:
    """Create the study of ``request``; return it and whether it is new.

    Raises the errors of ``build_spec`` and ``create_study``.
    """
    spec, digests = build_spec(storage, request)
    first = None
    if request.init is not None:
        there = find_study(storage, request.name) is not None
        known = open_study(storage, request.name).spec.init if there else None
        if keeps_source(request.init, known):
            spec = spec.model_copy(update={"init": known})
        else:
            base = None if spec.base is None else known_base(storage, spec.base)
            first = first_weights(storage, artifacts, request.init, spec, base)
            spec = spec.model_copy(update={"init": first.origin})
    any_budget = request.trials is None and request.timeout is None
    tensors = None if first is None else first.tensors
    handle, new = create_study(storage, artifacts, request.name, spec, digests, any_budget=any_budget, first=tensors)
    if new and first is not None:
        summary, *names = first.lines()
        log.info("study %s %s", request.name, summary)
        for line in names:
            log.debug("study %s: %s", request.name, line)
    return handle, new


def create_study(
    storage: RDBStorage,
    artifacts: Artifacts,
    name: str,
    spec: StudySpec,
    digests: dict[str, str],
    *,
    copies: Sequence[FrozenTrial] = (),
    any_budget: bool = False,
    first: Mapping[str, Tensor] | None = None,
) -> tuple[StudyHandle, bool]:
    """Create the study ``name``, its config enqueued as trial 0; return it and whether it is new.

    Of a config outside the space, trial 0 has the values that the space contains. ``copies`` are
    finished trials of another study, in their order in the new one; if the first is the config
    itself, it is trial 0. ``first`` are the weights of ``spec.init``. The same name with the same
    spec is a no-op; with ``any_budget`` the budget may differ. Raises UserError for another spec
    and names the difference.
    """
    if not re.fullmatch(NAMES, name):
        raise UsageError(
            f"study name {name[:40]!r} does not fit; take up to 100 letters, digits, dots, dashes, underscores."
        )
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=list(spec.directions),
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    with study_lock(storage, study._study_id):
        new = SPEC.get(study) is None
        if new:
            _fill(study, artifacts, spec, digests, copies, first)
    handle = open_study(storage, name)
    if spec.warm_start is not None and spec.warm_start == handle.spec.warm_start:
        # Keep the starts of the creation: the other study may have found better trials since.
        spec = spec.model_copy(update={"starts": handle.spec.starts})
    budget = {"trials": handle.spec.trials, "timeout": handle.spec.timeout}
    if changed := spec_differences(handle.spec, spec.model_copy(update=budget)):
        raise UserError(f"study `{name}` exists with another spec ({'; '.join(changed)}); choose another name.")
    if not any_budget and (changed := spec_differences(handle.spec, spec)):
        raise UserError(
            f"study `{name}` exists with another budget ({'; '.join(changed)}); `venation study extend {name}` changes"
            " it, with --trials or --timeout."
        )
    return handle, new


def _fill(
    study: optuna.Study,
    artifacts: Artifacts,
    spec: StudySpec,
    digests: dict[str, str],
    copies: Sequence[FrozenTrial],
    first: Mapping[str, Tensor] | None,
) -> None:
    """Turn an empty Optuna study, or one half created, into the study of ``spec``."""
    foreign = UID.get(study) is None and len(study.get_trials(deepcopy=False)) > 0
    directions = tuple(direction.name.lower() for direction in study.directions)
    if foreign or directions != spec.directions:
        raise UserError(
            f"`{study.study_name}` is the name of a study in this database that Venation did not create;"
            " choose another name."
        )
    with warnings.catch_warnings():
        # Metric names are experimental in Optuna, and only shown: the dashboard's axes carry them.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(spec.objectives))
    record_digests(artifacts, study, digests)
    if first is not None:
        with tempfile.TemporaryDirectory(prefix="venation-") as folder:
            put_file(artifacts, study, write_first_weights(first, Path(folder)))
    UID.set(study, uuid.uuid4().hex)
    CREATED.set(study, datetime.now(UTC).isoformat())
    _add_first_trials(study, spec, copies)
    # The spec comes last: a study without one is half made, and creating it again completes it.
    SPEC.set(study, spec.model_dump(mode="json"))


def _add_first_trials(study: optuna.Study, spec: StudySpec, copies: Sequence[FrozenTrial]) -> None:
    """Add the config as trial 0, the copies, and the starts that the budget has room for."""
    points = [spec.space.point(set_fields(spec.config, start)) for start in ({}, *spec.starts)]
    # A config of which the space holds nothing leaves nothing to enqueue: all of trial 0 is drawn.
    head = 0 if not points[0] or (copies and copies[0].params == points[0]) else 1
    # A waiting trial counts towards the budget, and so does a copied one.
    last = None if spec.trials is None else max(1, 1 + spec.trials - len(copies) - head)
    there = {MIGRATED_FROM.get(trial) for trial in study.get_trials(deepcopy=False)}
    enqueue_points(study, points[:head])
    for copy in copies:
        if MIGRATED_FROM.get(copy) not in there:
            study.add_trial(copy)
    enqueue_points(study, points[1:last])
