"""Checks of a new study's images and masks."""

from collections.abc import Sequence

from ..data.images import absent_mask_classes
from ..data.manifest import Manifest
from ..data.mask_classes import MASK_CLASSES
from ..data.samples import relative_key
from ..errors import UsageError, UserError
from ..search.spec import StudySpec
from ..spaces.space import Space
from ..trials.kinds import REFERENCE_IOU, Kind
from ..trials.trial_config import TrialConfig


def check_data(prints: str, base: StudySpec | None) -> None:
    """Raise UserError if the fingerprint is not that of the base's data."""
    if base is not None and prints != base.fingerprint:
        raise UserError(
            f"the data of `--data` are not those of the base study ({base.data}), whose test split must stay sealed;"
            " leave `--data` out, or create a classifier study on these data first."
        )


def check_masks(kind: Kind, manifest: Manifest, config: TrialConfig, space: Space) -> None:
    """Raise UserError if the images lack the masks that the study needs.

    A gate that learns from masks needs some to train on; a decoder also needs some to be validated
    on.
    """
    if "segment" in kind.facts.answers:
        what, splits = "a decoder", ["train", "val"]
    elif kind.facts.task == "classify" and (config.train.mask_weight > 0 or _searches(space, "train.mask_weight")):
        what, splits = "a gate with train.mask_weight > 0", ["train"]
    else:
        return
    for split in splits:
        if all(sample.mask is None for sample in manifest.split(split)):
            raise UserError(
                f"`{manifest.root}` has no masks in its {split} split, and {what} learns from them;"
                f" {_mask_advice(manifest)}."
            )
    if "segment" in kind.facts.answers and (absent := absent_mask_classes(manifest.split("train"))):
        raise UserError(
            f"no mask in the train split of `{manifest.root}` has the class `{absent[0]}` for a decoder to learn;"
            f" add such masks, or take it out of {MASK_CLASSES} and of the other masks."
        )


def check_reference(manifest: Manifest, objectives: Sequence[str]) -> None:
    """Raise UsageError if the papers' IoU is to be optimised for masks of several classes."""
    if REFERENCE_IOU in objectives and manifest.mask_class_names:
        raise UsageError(
            f"objective `{REFERENCE_IOU}` is the papers' figure of one structure, and these masks have the classes"
            f" {', '.join(manifest.mask_class_names)}: take iou."
        )


def _mask_advice(manifest: Manifest) -> str:
    """Return how to give masks to images that have none."""
    unused = manifest.unused_masks()
    if not unused:
        return "add masks/<class>/<stem>.png"
    return (
        f"{len(unused)} files in masks/ are not used (`{relative_key(unused[0], manifest.root)}` is the first): save"
        " each as masks/<class>/<image stem>.png, or list it in the CSV's column `mask`"
    )


def _searches(space: Space, name: str) -> bool:
    return any(dimension.name == name for dimension in space.dimensions)
