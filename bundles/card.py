"""The model card: the README of a bundle."""

from ..data.windows import OVERLAP
from ..trials.background import describe_background
from ..trials.kinds import Kind
from ..trials.unknown import KEPT
from .onnx_example import describe_input, onnx_example
from .record import BOOSTER, BOOSTER_ONNX, FOLDS, ONNX, BundleRecord, Source, graph_name

_METRICS = {"accuracy": "accuracy", "accuracy_blanked": "accuracy, background blanked", "macro_f1": "macro F1"} | {
    "iou": "IoU of the structure",
    "dice": "Dice",
}


def model_card(record: BundleRecord) -> str:
    """Return the card as Markdown: task, origin, scores, use and limits."""
    config = record.config
    height, width = config.data.size_HW
    structures = ", ".join(config.decoder.classes) or "their structure"
    task = "Classifies images" + (f" and segments {structures}" if config.decoder.kind != "none" else "")
    return f"""# A Venation bundle: {len(record.classes)} classes

{task} with `{config.encoder.name}` at {height} x {width} pixels (height x width).{_native_scale(record)}

{_origins(record)}

{_scores(record)}

{_compact(record)}## Use

    venation predict BUNDLE photos/ -o out/ --overlay
    venation bundle check BUNDLE

{_without_venation(record)}
## Classes

{", ".join(record.classes)}

## Limits

{_training(record)}
{_unknown(record)} Licence: {record.licence}.
"""


def _unknown(record: BundleRecord) -> str:
    if record.min_probability is None:
        return "It knows only these classes and assigns one of them to every image."
    return (
        "It knows only these classes. `venation predict` answers `unknown` where the most probable class has less than"
        f"\n{record.min_probability:.4f}; {KEPT:.0%} of the right answers on validation images have as much or more."
    )


def _origins(record: BundleRecord) -> str:
    if record.cross_validation is not None:
        return "- a linear probe (`venation try`): logistic regression on the features of the pretrained encoder"
    return "\n".join(line for source in record.sources for line in _origin(record, source))


def _scores(record: BundleRecord) -> str:
    """Return the section of the scores: on the test split, or by cross-validation."""
    part, title = "test", f"Scores on the sealed test split ({record.images['test']} images, scored once, at export)"
    if (folds := record.cross_validation) is not None:
        part, title = FOLDS, f"Scores by {folds.folds}-fold cross-validation ({folds.images} images)"
    names = dict(_METRICS)
    if record.config.decoder.classes:
        names |= {"iou": "IoU, mean of the mask classes", "dice": "Dice, mean of the mask classes"}
        names |= {f"iou/{name}": f"IoU of {name}" for name in record.config.decoder.classes}
    rows = "\n".join(
        f"| {names[row['metric']]} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} |"
        for row in record.score_rows()
        if row["part"] == part and row["metric"] in names
    )
    table = f"## {title}\n\n| metric | value | 95 % interval |\n|---|---|---|\n{rows}"
    if leak := describe_background(record.metrics.get(part, {})):
        table += f"\n\n{leak[0].upper()}{leak[1:]}."
    if record.versus_probe is None:
        return table
    probe = record.versus_probe
    said = probe.sentence()
    return f"{table}\n\n{said[0].upper()}{said[1:]} (`{probe.encoder}`, accuracy {probe.accuracy:.3f})."


def _compact(record: BundleRecord) -> str:
    """Return the section about graphs in a lower precision; empty without any."""
    if not record.compact:
        return ""
    rows = []
    for low in record.compact:
        lost = low.great_loss()
        rows.append(f"- {low.sentence()}{f'. **{lost}**' if lost else ''}")
    names = ", ".join(f"`{graph_name(graph, low.precision)}`" for low in record.compact for graph in record.graphs)
    return f"""## Smaller graphs

{names}: inputs and outputs are those of the graphs in fp32. On the validation split, against fp32:

{chr(10).join(rows)}

Use one with `venation predict --runner onnx --precision {record.compact[-1].precision}`.

"""


def _training(record: BundleRecord) -> str:
    if record.cross_validation is not None:
        return f"Fitted on all {record.images['train']} images; the cross-validated scores are of fits on fewer."
    config = record.config
    folds = config.boost.folds and any(Kind(source.kind).facts.has_folds for source in record.sources)
    trained_too = " (its booster is trained on these too)" if folds else ""
    if any(record.has_folds(source.kind) for source in record.sources):
        trained_too = " (most networks of its folds are trained on these too)"
    return f"Trained on {record.images['train']} images and selected on {record.images['val']}{trained_too}."


def _native_scale(record: BundleRecord) -> str:
    """Return a sentence for each view in which whole images keep their scale."""
    views = {"label": record.config.data}
    if record.config.decoder.kind != "none":
        views["mask"] = record.mask_view
    return "".join(
        f"\nThe {subject} is predicted at {view.scale:g} times the image's own size, "
        + ("as a whole." if view.fit == "whole" else f"in windows of {' x '.join(map(str, view.size_HW))} pixels.")
        for subject, view in views.items()
        if view.one_at_a_time
    )


def _without_venation(record: BundleRecord) -> str:
    """Return the section for programs that run the graphs themselves, with an example."""
    remarks = ""
    if record.has_booster:
        remarks = (
            f"\nThe labels of this bundle come from `{BOOSTER_ONNX}`, which standardises `features` and gives class"
            f" probabilities. `{BOOSTER}` is the same model for XGBoost.\n"
        )
    if record.config.data.fit == "patch":
        remarks += "\nIt classifies the first window of the image only.\n"
    return f"""## Use without Venation

`{ONNX}` gives class probabilities, {_graphs(record)}

{describe_input(record.describe().labels.image)}

This program classifies one image with the packages numpy, onnxruntime and pillow. Run it in this
folder, with the path of the image:

```python
{onnx_example(record)}
```
{remarks}"""


def _graphs(record: BundleRecord) -> str:
    """Return the end of the sentence about the graphs, and how to cut a whole image for them."""
    classes = record.config.decoder.classes
    masks = f"mask probabilities (of background, {', '.join(classes)})" if classes else "mask probabilities"
    end = f"features and {masks}." if record.mask_graph == ONNX else f"features; `{record.mask_graph}` gives {masks}."
    if "whole" in (record.config.data.fit, record.mask_view.fit):
        end += " An image of `data.fit=whole` has any size."
    if "patch" not in (record.config.data.fit, record.mask_view.fit):
        return end
    return f"""{end}

Cut a whole image into windows of that size that overlap by {OVERLAP:.0%} or more, evenly spaced from edge to edge; pad
a smaller image with the mean colour, right and bottom. Average the class probabilities of the windows, and the logits
of their masks, weighted by a Gaussian at each window's centre (standard deviation: an eighth of the window)."""


def _origin(record: BundleRecord, source: Source) -> list[str]:
    """Return lines that name a source's trial, or all members of its ensemble with weights."""
    members = record.members_of(source.kind)
    if not members:
        return [f"- {source.kind}: {_trial(source)}"]
    if record.has_folds(source.kind):
        means = f"the mean of the probabilities of {len(members)} networks, one for each fold"
        return [f"- {source.kind}: {means}: {_trial(source)}, the mean over the images held out of each"]
    head = f"- {source.kind}: the mean of the probabilities of {len(members)} trials, selected on the validation split"
    return [head, *(f"  - weight {member.weight:.3f}: {_trial(member.source)}" for member in members)]


def _trial(source: Source) -> str:
    return f"study `{source.study}`, trial {source.trial}, {source.objective} {source.value:.4f}"
