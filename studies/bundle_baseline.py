"""The linear probe beside a bundle: both scored on the sealed test split."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from ..bundles.record import ProbeComparison
from ..errors import UserError
from ..trials.errors import TrialFailed
from ..trials.features import join
from ..trials.metrics import LabelOutcomes
from ..trials.paired import compare_paired
from ..trials.probe import fit_probe
from ..trials.probe_config import choose_probe
from .baseline import NoProbe, probe_features
from .context import StudyContext

log = logging.getLogger(__name__)


def compare_on_test(
    labels: LabelOutcomes, context: StudyContext, *, fitted_on: Sequence[str]
) -> ProbeComparison | None:
    """Compare the bundle's answers on the test split with those of a linear probe.

    The probe learns from the splits ``fitted_on``, those that the bundle learnt from. ``context``
    is that of the classifier study. None, with a line in the log, without pretrained weights, or
    if this machine lacks the file with the encoder's first weights.
    """
    manifest, device = context.manifest, context.device
    config = choose_probe(context.spec.config)
    try:
        if config is None:
            raise NoProbe("no pretrained weights on this machine")
        parts = [probe_features(config, manifest.split(part), manifest.classes, device) for part in fitted_on]
        known = join(*parts)
        probe = fit_probe(known, num_classes=len(manifest.classes))
        test = probe_features(config, manifest.split("test"), manifest.classes, device)
    except (UserError, TrialFailed) as error:
        log.info("the bundle is not compared with a linear probe: %s", error)
        return None
    answers = LabelOutcomes.of(probe.probabilities(test.x), test.y)
    right, probe_right = (each.predicted_I == each.label_I for each in (labels, answers))
    found = compare_paired(np.asarray(right), np.asarray(probe_right))
    return ProbeComparison(encoder=config.encoder.name, accuracy=float(probe_right.mean()), **asdict(found))
