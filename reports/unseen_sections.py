"""Sections about a bundle's answers on labelled images that it was not made with."""

from pathlib import Path

from ..bundles.evaluate import Unseen, open_unseen
from ..bundles.image_masks import count_image_masks
from ..data.manifest import Sample
from ..trials.device import choose_device
from ..trials.image_masks import ImageMasks
from ..trials.metrics import LabelOutcomes
from ..trials.predict import Predictor
from .answer_sections import Answers, calibration_section, class_section, gallery_section
from .images import Pictures
from .network_sections import add_leak_check, add_overlays
from .page import Section


def unseen_sections(bundle: Path, data: Path, device: str) -> list[Section]:
    """Predict the images of ``data`` that are new to the bundle; return the sections about them.

    Raises UserError for a bad bundle, DataError for data that do not fit it.
    """
    unseen = open_unseen(bundle, data)
    record, samples = unseen.parts.record, [sample for found in unseen.samples.values() for sample in found]
    labels = unseen.score(samples, device=choose_device(device)).labels
    answers = Answers(
        who="The bundle",
        split=" and ".join(unseen.samples),
        images=[unseen.manifest.key(sample) for sample in samples],
        classes=record.classes,
        labels=labels,
        pictures=Pictures({unseen.manifest.key(sample): sample for sample in samples}, record.config.data),
    )
    predictor = unseen.parts.predictor(device=choose_device(device), flips=False)
    leaks = Section("leaks", "Leak check")
    add_leak_check(leaks, predictor, samples, who="the bundle")
    sections = [class_section(answers), gallery_section(answers), calibration_section(answers)]
    return [*sections, _overlays(unseen, predictor, samples, labels), leaks]


def _overlays(unseen: Unseen, predictor: Predictor, samples: list[Sample], labels: LabelOutcomes) -> Section:
    section = Section("overlays", "What the network sees")
    if predictor.network.decoder is None:
        add_overlays(section, predictor, samples, labels.target_probability_I, by_mask=False)
        return section
    masked = [sample for sample in samples if sample.mask is not None]
    if not masked:
        section.note("The images have no masks to compare the predicted ones with.")
        return section
    keys = tuple(unseen.manifest.key(sample) for sample in masked)
    add_overlays(
        section, predictor, masked, ImageMasks(keys, count_image_masks(predictor, masked)).iou_I(), by_mask=True
    )
    return section
