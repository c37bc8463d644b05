"""Sections that need a network: its pictures on images, and its accuracy without background.

Shapes: I images.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset
from ..data.images import read_image, read_mask
from ..data.loader import make_loader
from ..data.manifest import Sample, evenly_spaced
from ..data.pixels import shown
from ..errors import UserError
from ..studies.context import StudyContext
from ..studies.ensemble import Pick, pick_network
from ..trials.device import choose_device
from ..trials.evaluate import collect_outcomes
from ..trials.figures import add_strip, mask_keys
from ..trials.image_masks import ImageMasks
from ..trials.metrics import Floats
from ..trials.overlay import draw_heat, draw_mask
from ..trials.paired import PairedDifference, compare_paired
from ..trials.predict import Predictor
from ..trials.prediction import Prediction
from ..wording import counted
from .page import Section, thumbnail, tile
from .study_facts import StudyFacts

_SIDE = 300  # pixels of one picture
_OF_EACH = 3
# The images on which the background is blanked: enough for an interval of a few points.
_BLANKED = 200
_BATCH = 16


def network_sections(facts: StudyFacts, device: str) -> list[Section]:
    """Return overlays and leak check of the best trial's network, which runs on ``device``.

    Without images or weights, a sentence says why. A network of folds is that of the first fold, on
    the images that it did not learn from.
    """
    overlays, leaks = Section("overlays", "What the network sees"), Section("leaks", "Leak check")
    if facts.data is None or not facts.spec.kind.facts.has_epochs:
        overlays.note(facts.no_images or "A booster has no pictures of its own: see the report of its base.")
        return [overlays]
    context = StudyContext(facts.handle, facts.artifacts, facts.data, choose_device(device))
    try:
        pick = Pick(facts.handle, facts.best)
        network = pick_network(pick, context)
    except UserError as error:
        overlays.note(f"There are no overlays: {error}")
        return [overlays]
    manifest = context.folds[0] if facts.spec.folds else context.manifest
    samples = {context.manifest.key(sample): sample for sample in manifest.split("val")}
    predictor = Predictor(network, context.manifest.classes, pick.config.data, device=context.device)
    _add_study_overlays(overlays, facts, predictor, samples)
    if "classify" not in facts.spec.kind.facts.answers:
        return [overlays]
    add_leak_check(leaks, predictor, list(samples.values()), who=f"trial {facts.best.number}")
    return [overlays, leaks]


def overlay_tiles(predictor: Predictor, samples: Sequence[Sample], captions: Sequence[str]) -> list[str]:
    """Return a tile for each image: the truth or the image, and beside it what the network sees."""
    segments = predictor.network.decoder is not None
    found = predictor.predict([sample.image for sample in samples], batch_size=_BATCH, heat=not segments)
    return [
        tile(_pair(sample, prediction, predictor.config), f"{sample.label}: {caption}")
        for sample, prediction, caption in zip(samples, found, captions, strict=True)
    ]


def add_leak_check(section: Section, predictor: Predictor, samples: Sequence[Sample], *, who: str) -> None:
    """Add whether accuracy falls when the masks blank the background, on some of ``samples``."""
    masked = evenly_spaced([sample for sample in samples if sample.mask is not None], _BLANKED)
    if not masked:
        section.note("The images have no masks, so the background cannot be blanked.")
        return
    whole, blanked = (_right(predictor, masked, blank=blank) for blank in (False, True))
    section.text(
        leak_words(compare_paired(whole, blanked), float(whole.mean()), float(blanked.mean()), who=who),
        "A background that names the class (the table, the season, the camera) is a leak: see also `venation data"
        " check`.",
    )


def leak_words(found: PairedDifference, whole: float, blanked: float, *, who: str) -> str:
    """Return in a sentence what blanking the background does to the accuracy of ``who``."""
    numbers = f"{100 * whole:.1f} % with the background and {100 * blanked:.1f} % with the masks' background blanked"
    images = counted(found.images, "image")
    gap = f"{100 * found.difference:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"
    if found.verdict == "better":
        return f"Accuracy falls without the background, by {gap}: {who} uses it ({numbers}, {images})."
    if found.verdict == "worse":
        return f"Accuracy rises without the background: {numbers}, {images}. The background distracts {who}."
    return f"No sign that {who} uses the background: {numbers}, a difference of {gap} on {images}."


def add_overlays(
    section: Section, predictor: Predictor, samples: Sequence[Sample], score_I: Floats, *, by_mask: bool
) -> None:
    """Add the best, median and worst of ``samples``: by their IoU, or p of the true class."""
    segments = predictor.network.decoder is not None
    order, name = np.argsort(-score_I, kind="stable"), "IoU" if by_mask else "p of the true class"
    section.text(_LEGEND["masks" if segments else "heat"])
    middle = max(0, len(order) // 2 - _OF_EACH // 2)
    parts = {"Best": order[:_OF_EACH], "Median": order[middle : middle + _OF_EACH], "Worst": order[::-1][:_OF_EACH]}
    for title, chosen in parts.items():
        section.heading(title)
        captions = [f"{name} {score_I[index]:.3f}" for index in chosen]
        section.pictures(overlay_tiles(predictor, [samples[index] for index in chosen], captions), wide=True)


def _add_study_overlays(section: Section, facts: StudyFacts, predictor: Predictor, samples: dict[str, Sample]) -> None:
    answers = facts.answers.get(facts.best.number)
    if answers is None:
        section.note("The trial stores no scores of single images, so some images stand for all.")
        some = evenly_spaced(list(samples.values()), 2 * _OF_EACH)
        section.pictures(overlay_tiles(predictor, some, ["not scored"] * len(some)), wide=True)
        return
    by_mask = isinstance(answers, ImageMasks)
    score_I = answers.iou_I() if isinstance(answers, ImageMasks) else np.exp(-answers.logloss_I)
    known = [index for index, key in enumerate(answers.images) if key in samples]
    add_overlays(
        section, predictor, [samples[answers.images[index]] for index in known], score_I[known], by_mask=by_mask
    )


_LEGEND = {
    "masks": "Left the true mask, right the predicted one, as contours on the image.",
    "heat": "Left the image, right the regions that decide the answer: from clear (nothing) over red to yellow (most).",
}


def _pair(sample: Sample, prediction: Prediction, view: DataConfig) -> Image.Image:
    """Return two pictures side by side: truth and predicted mask, or image and heat map."""
    image = shown(read_image(sample.image, view))
    classes = prediction.mask_classes
    if prediction.mask is not None and sample.mask is not None:
        truth = draw_mask(image, read_mask(sample.mask, image.size, sample.mask_classes), classes)
        drawn = [truth, draw_mask(image, prediction.mask, classes)]
    elif prediction.heat is not None:
        drawn = [image, draw_heat(image, prediction.heat)]
    else:
        drawn = [image, image if prediction.mask is None else draw_mask(image, prediction.mask, classes)]
    small = [thumbnail(picture, _SIDE) for picture in drawn]
    sheet = Image.new("RGB", (small[0].width + small[1].width + 4, small[0].height), "white")
    sheet.paste(small[0], (0, 0))
    sheet.paste(small[1], (small[0].width + 4, 0))
    return add_strip(sheet, "", mask_keys(classes)) if prediction.mask is not None and classes else sheet


def _right(
    predictor: Predictor, samples: Sequence[Sample], *, blank: bool
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which images the network answers correctly, ``(I,)``."""
    dataset = LeafDataset(samples, predictor.classes, predictor.config, train=False, blank=blank, cache_bytes=0)
    loader = make_loader(dataset, batch_size=_BATCH, train=False, seed=0)
    labels = collect_outcomes(
        predictor.network, loader, device=predictor.device, segment=False, booster=predictor.booster
    ).labels
    return np.asarray(labels.predicted_I == labels.label_I)
