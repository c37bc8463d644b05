"""The model card: the README of a bundle."""

from ..trials.kinds import Kind
from .bundle import BundleRecord, Source

_METRICS = {"accuracy": "accuracy", "accuracy_blanked": "accuracy, background blanked", "macro_f1": "macro F1"} | {
    "iou": "IoU of the structure",
    "dice": "Dice",
}


def model_card(record: BundleRecord) -> str:
    """Return the card as Markdown: task, origin, scores, use and limits."""
    config = record.config
    height, width = config.data.size_HW
    sources = "\n".join(line for source in record.sources for line in _origin(record, source))
    rows = "\n".join(
        f"| {_METRICS[row['metric']]} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} |"
        for row in record.score_rows()
        if row["part"] == "test" and row["metric"] in _METRICS
    )
    folds = config.boost.folds and any(Kind(source.kind).facts.has_folds for source in record.sources)
    trained_too = " (its booster is trained on these too)" if folds else ""
    task = "Classifies images" + (" and segments their structure" if config.decoder.kind != "none" else "")
    return f"""# A Venation bundle: {len(record.classes)} classes

{task} with `{config.encoder.name}` at {height} x {width} pixels (height x width).

{sources}

## Scores on the sealed test split ({record.images["test"]} images, scored once, at export)

| metric | value | 95 % interval |
|---|---|---|
{rows}

## Use

    venation predict BUNDLE photos/ -o out/ --overlay
    venation bundle check BUNDLE

`model.onnx` takes images that are resized ({config.data.interpolation}) and normalised (mean {config.data.mean},
standard deviation {config.data.std}). It gives class probabilities, features and mask probabilities.

## Classes

{", ".join(record.classes)}

## Limits

Trained on {record.images["train"]} images and selected on {record.images["val"]}{trained_too}.
It knows only these classes and assigns one of them to every image. Licence: {record.licence}.
"""


def _origin(record: BundleRecord, source: Source) -> list[str]:
    """Return lines that name a source's trial, or all members of its ensemble with weights."""
    members = record.members_of(source.kind)
    if not members:
        return [f"- {source.kind}: {_trial(source)}"]
    head = f"- {source.kind}: the mean of the probabilities of {len(members)} trials, selected on the validation split"
    return [head, *(f"  - weight {member.weight:.3f}: {_trial(member.source)}" for member in members)]


def _trial(source: Source) -> str:
    return f"study `{source.study}`, trial {source.trial}, {source.objective} {source.value:.4f}"
