"""Write predictions as tasks of Label Studio, which a person confirms or corrects."""

import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..data.shapes import write_brush
from ..trials.unknown import UNKNOWN
from .annotations import STRUCTURE, Annotation, Annotations, write_list, written_text

# Names of the parts of the labelling configuration, to which the results refer.
_IMAGE, _LABEL, _MASK = "image", "label", "mask"


def write_label_studio(target: Path, found: Annotations, *, version: str) -> None:
    """Write tasks with pre-annotations, and beside them the labelling configuration as ``.xml``.

    A task has a choice, unless the answer is ``unknown``, and a brush for each mask. Its image is a
    local file below ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT``, which has to be the folder above
    the one that holds all images. Raises UserError if a file cannot be written or read.
    """
    with written_text(target) as file:
        write_list(file, (_task(each, found, version) for each in found))
        file.write("\n")
    with written_text(target.with_suffix(".xml")) as file:
        file.write(_configuration(found.classes, found.mask_classes or (STRUCTURE,)))


def _task(each: Annotation, found: Annotations, version: str) -> dict[str, Any]:
    place = quote(os.fsencode(f"{found.folder.name}/{each.name}"))
    prediction = {"model_version": version, "score": each.probability, "result": list(_results(each, found))}
    return {"data": {_IMAGE: f"/data/local-files/?d={place}"}, "predictions": [prediction]}


def _results(each: Annotation, found: Annotations) -> Iterator[dict[str, Any]]:
    if each.answer != UNKNOWN:
        choice = {"type": "choices", "value": {"choices": [each.label]}}
        yield {"id": _LABEL, "from_name": _LABEL, "to_name": _IMAGE} | choice
    width, height = each.size
    for number, (name, mask_HW) in enumerate(each.masks(found.mask_classes).items(), 1):
        if mask_HW.any():
            yield {
                "id": f"{_MASK}{number}",
                "from_name": _MASK,
                "to_name": _IMAGE,
                "type": "brushlabels",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {"format": "rle", "rle": write_brush(mask_HW), "brushlabels": [name]},
            }


def _configuration(classes: Sequence[str], masks: Sequence[str]) -> str:
    """Return the labelling configuration that the tasks refer to."""
    choices = "\n".join(f'    <Choice value="{escape(name)}"/>' for name in classes)
    brushes = "\n".join(f'    <Label value="{escape(name)}"/>' for name in masks)
    return (
        f'<View>\n  <Image name="{_IMAGE}" value="${_IMAGE}"/>\n'
        f'  <Choices name="{_LABEL}" toName="{_IMAGE}" choice="single">\n{choices}\n  </Choices>\n'
        f'  <BrushLabels name="{_MASK}" toName="{_IMAGE}">\n{brushes}\n  </BrushLabels>\n</View>\n'
    )
