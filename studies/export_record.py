"""The record of a bundle that is exported, with its scores."""

import logging
from collections.abc import Mapping
from dataclasses import asdict

from ..bundles.record import BundleRecord, Interval
from ..bundles.scoring import score_network
from ..data.data_config import DataConfig
from ..models.network import MultitaskNetwork
from ..search.init_source import init_origin
from ..trials.background import describe_background
from ..trials.booster import Booster
from ..trials.kinds import Kind
from ..trials.metrics import LABEL_METRICS
from ..trials.provenance import collect_provenance
from ..trials.trial_config import TrialConfig
from .bundle_baseline import compare_on_test
from .context import StudyContext
from .ensemble import Pick

log = logging.getLogger(__name__)


def scored_record(
    picks: dict[Kind, Pick],
    context: StudyContext,
    config: TrialConfig,
    mask_data: DataConfig | None,
    models: tuple[MultitaskNetwork, Booster | None],
) -> BundleRecord:
    """Score the bundle on the validation and the sealed test split; return its record.

    ``mask_data`` is the view of the masks if it is another, ``models`` are network and booster.
    """
    spec, manifest = context.spec, context.manifest
    (network, booster), mask_view = models, mask_data or config.data
    metrics = {}
    boosts = booster is not None and config.boost.folds > 0
    for part in ("val", "test"):
        report = score_network(
            network,
            booster,
            manifest.split(part),
            manifest.classes,
            config.data,
            mask_view=mask_view,
            device=context.device,
        )
        scores = report.scores
        if part == "val":
            scores = {name: score for name, score in scores.items() if not _learnt(name, picks, boosts=boosts)}
        metrics[part] = {name: Interval(**asdict(score)) for name, score in scores.items()}
    if said := describe_background(metrics["test"]):
        log.warning("on the test split, %s", said)
    fitted_on = ("train", "val") if _learnt("accuracy", picks, boosts=boosts) else ("train",)
    versus = compare_on_test(report.labels, context, fitted_on=fitted_on)
    if versus is not None:
        log.info("on the test split, %s", versus.sentence())
    return BundleRecord(
        sources=tuple(pick.source() for pick in picks.values()),
        config=config,
        mask_data=mask_data,
        classes=manifest.classes,
        metrics=metrics,
        images={part: len(manifest.split(part)) for part in ("train", "val", "test")},
        data_fingerprint=spec.fingerprint,
        split=spec.split,
        versus_probe=versus,
        provenance=collect_provenance(str(context.device)).model_dump(mode="json") | init_origin(spec.init),
    )


def _learnt(name: str, picks: Mapping[Kind, Pick], *, boosts: bool) -> bool:
    """Tell whether a metric means nothing on the validation split, because the bundle learnt it.

    A booster with folds learnt from it, and so did most networks of a trial with folds. ``boosts``:
    the bundle has such a booster.
    """
    folds = {kind for kind, pick in picks.items() if pick.handle.spec.folds}
    if name in LABEL_METRICS or name == "accuracy_blanked":
        return boosts or bool(folds & {Kind.CLASSIFIER, Kind.MULTITASK})
    return bool(folds & {Kind.DECODER, Kind.MULTITASK}) and not name.startswith("head_")
