"""The model card: a bundle's README for whoever receives it."""

from ..trials.kinds import Kind
from .bundle import BundleRecord, Source

_SHOWN = {"accuracy": "accuracy", "accuracy_blanked": "accuracy, background blanked", "macro_f1": "macro F1"} | {
    "iou": "IoU of the structure",
    "dice": "Dice",
}


def model_card(record: BundleRecord) -> str:
    """Markdown: what the model does, on what it was measured, how to use it."""
    config = record.config
    height, width = config.data.size_HW
    sources = "\n".join(line for source in record.sources for line in _origin(record, source))
    rows = "\n".join(
        f"| {_SHOWN[row['metric']]} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} |"
        for row in record.score_rows()
        if row["part"] == "test" and row["metric"] in _SHOWN
    )
    folds = config.boost.folds and any(Kind(source.kind).facts.has_folds for source in record.sources)
    learnt = ", from which its booster has learnt too" if folds else ""
    task = "Classifies images" + (" and segments their structure" if config.decoder.kind != "none" else "")
    return f"""# A Venation bundle: {len(record.classes)} classes

{task} with `{config.encoder.name}` at {height} x {width} pixels (height x width).

{sources}

## Measured on the sealed test part ({record.images["test"]} images, scored once, at export)

| metric | value | 95 % interval |
|---|---|---|
{rows}

## Use

    venation predict BUNDLE photos/ -o out/ --overlay
    venation bundle check BUNDLE

`model.onnx` takes normalised images (mean {config.data.mean}, standard deviation {config.data.std}) and gives class
probabilities, features and mask probabilities.

## Classes

{", ".join(record.classes)}

## Limits

Trained on {record.images["train"]} images and chosen on {record.images["val"]}{learnt}. It knows no class but these,
and says one of them of any picture. Licence: {record.licence}.
"""


def _origin(record: BundleRecord, source: Source) -> list[str]:
    """Where one part comes from: its trial, or all that answer together, with their shares."""
    team = record.team(source.kind)
    if not team:
        return [f"- {source.kind}: {_trial(source)}"]
    head = f"- {source.kind}: the mean of the probabilities of {len(team)} trials, chosen on the validation part"
    return [head, *(f"  - weight {member.weight:.3f}: {_trial(member.source)}" for member in team)]


def _trial(source: Source) -> str:
    return f"study `{source.study}`, trial {source.trial}, {source.objective} {source.value:.4f}"
