"""The baseline of a classifier study: a linear probe, computed once, and every trial against it."""

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.manifest import Manifest, Sample
from ..errors import DataError, UserError
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, StoreFailed, get_file, record_file, remove_blob, store_file
from ..storage.attributes import PROBE
from ..storage.database import study_lock
from ..storage.embedded import home
from ..trials.errors import TrialFailed, is_out_of_memory
from ..trials.evaluate import label_metrics
from ..trials.features import Features, extract_features, take
from ..trials.image_outcomes import ImageOutcomes
from ..trials.metrics import LabelOutcomes
from ..trials.probe import fit_probe
from ..trials.probe_config import choose_probe, weights_hash
from ..trials.trial_config import TrialConfig
from .probe_record import describe_probe

log = logging.getLogger(__name__)

FILE = "probe.json"
_SHOWN = ("accuracy", "macro_f1", "logloss")


class NoProbe(UserError):
    """There are no weights for a linear probe, or they do not fit."""


class Baseline:
    """The linear probe of a study, fitted on its training split and scored on its validation split.

    With ``folds``, the data of each, every fold's images are scored by a probe that was fitted on
    the others. The first worker computes and records it. If several do so at once, the first record
    counts.
    """

    def __init__(
        self,
        handle: StudyHandle,
        artifacts: Artifacts,
        manifest: Manifest,
        device: torch.device,
        folds: Callable[[], Sequence[Manifest]] = tuple,
    ) -> None:
        self._handle = handle
        self._artifacts = artifacts
        self._manifest = manifest
        self._device = device
        self._folds = folds
        facts = handle.spec.kind.facts
        self._prepared = facts.needs_base or "classify" not in facts.answers
        self._outcomes: ImageOutcomes | None = None

    def prepare(self) -> None:
        """Compute and record the baseline, unless it is recorded.

        Without pretrained weights the record says why there is no baseline. Raises DataError and
        StoreFailed, as the trial itself would.
        """
        if self._prepared:
            return
        if PROBE.get(self._handle.study) is None:
            try:
                self._record(*self._compute())
            except (NoProbe, TrialFailed) as error:
                self._record({"missing": str(error)}, None)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("%s: no linear probe yet, memory ran out; the next trial tries again", self._name)
                return
        self._prepared = True

    def compare(self, outcomes: Path) -> dict[str, Any] | None:
        """Compare a trial's file of outcomes with the probe's; None if the study has no probe."""
        record = PROBE.get(self._handle.study)
        if record is None or "missing" in record:
            return None
        try:
            found = ImageOutcomes.read(outcomes).compare(self._read())
        except StoreFailed:
            raise
        except UserError as error:
            log.warning("%s: not compared with the linear probe: %s", self._name, error)
            return None
        return None if found is None else asdict(found)

    @property
    def _name(self) -> str:
        return f"study {self._handle.study.study_name}"

    def _compute(self) -> tuple[dict[str, Any], ImageOutcomes]:
        start = time.monotonic()
        config = choose_probe(self._handle.spec.config)
        if config is None:
            raise NoProbe("no pretrained weights on this machine")
        outcomes, metrics = self._score(config)
        record = {
            "encoder": config.encoder.name,
            "weights": config.encoder.weights,
            "size": config.data.size,
            "images": len(outcomes.images),
            "seconds": round(time.monotonic() - start, 1),
            **{name: metrics[name] for name in _SHOWN},
        }
        return record, outcomes

    def _score(self, config: TrialConfig) -> tuple[ImageOutcomes, dict[str, float]]:
        """Return the probe's outcomes on the validation images, of all folds, and its metrics."""
        classes = self._manifest.classes
        pool = [sample for sample in self._manifest.samples if sample.split != "test"]
        features = probe_features(config, pool, classes, self._device)
        place = {sample.image: index for index, sample in enumerate(pool)}
        validated: list[Sample] = []
        answers = []
        for part in self._folds() or (self._manifest,):
            train, val = (np.array([place[s.image] for s in part.split(name)]) for name in ("train", "val"))
            probe = fit_probe(take(features, train), num_classes=len(classes))
            answers.append(probe.probabilities(features.x[val]))
            validated += part.split("val")
        probability_NK = np.concatenate(answers)
        label_N = features.y[[place[sample.image] for sample in validated]]
        images = [self._manifest.key(sample) for sample in validated]
        outcomes = ImageOutcomes.of(LabelOutcomes.of(probability_NK, label_N), images, classes)
        return outcomes, label_metrics(probability_NK, label_N)

    def _record(self, record: dict[str, Any], outcomes: ImageOutcomes | None) -> None:
        """Record the baseline and its file, bytes first, if no other worker was earlier."""
        file = None
        if outcomes is not None:
            with tempfile.TemporaryDirectory(prefix="venation-") as folder:
                file = store_file(self._artifacts, outcomes.write(Path(folder) / FILE))
        with study_lock(self._handle.storage, self._handle.id):
            first = PROBE.get(self._handle.study) is None
            if first and file is not None:
                record_file(self._handle.study, file)
            if first:
                PROBE.set(self._handle.study, record)
        if first:
            log.info("%s: %s", self._name, describe_probe(record))
        elif file is not None:
            remove_blob(self._artifacts, file.artifact_id)

    def _read(self) -> ImageOutcomes:
        if self._outcomes is None:
            with tempfile.TemporaryDirectory(prefix="venation-") as folder:
                self._outcomes = ImageOutcomes.read(
                    get_file(self._artifacts, self._handle.study, FILE, to=Path(folder))
                )
        return self._outcomes


def probe_features(
    config: TrialConfig, samples: Sequence[Sample], classes: Sequence[str], device: torch.device
) -> Features:
    """Return the pooled features of a probe's encoder, cached if its weights are known.

    Raises NoProbe if there are no weights or they do not fit, DataError for a broken image.
    """

    def build() -> MultitaskNetwork:
        # The features do not depend on the head.
        try:
            return build_network(config.network(len(classes)))
        except UserError as error:
            raise NoProbe(str(error)) from None

    def extract(cache: Path | None) -> Features:
        known = str(weights_hash(config.encoder))
        return extract_features(build, samples, classes, config.data, device=device, cache=cache, weights_hash=known)

    if weights_hash(config.encoder) is None:
        return extract(None)
    try:
        return extract(home() / "cache" / "features")
    except (DataError, NoProbe):
        raise
    except UserError as error:
        log.warning("%s; the linear probe does without it", str(error).rstrip("."))
        return extract(None)
