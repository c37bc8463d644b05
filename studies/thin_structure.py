"""Find structures that a view shrinks until they are hardly visible.

Such structures, for example veins, are learned at native scale instead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..data.data_config import DataConfig
from ..data.fit_image import fit_within
from ..data.images import read_mask
from ..data.manifest import Manifest, evenly_spaced
from ..data.structure_width import structure_width
from ..models.cost import takes_size
from ..search.spec import StudySpec
from ..spaces.base_view import on_base
from ..spaces.fields import set_fields
from ..spaces.presets import Recipe
from ..trials.trial_config import TrialConfig

# Below two pixels, the nearest-pixel resize of a mask breaks a line into pieces. Where the mean is
# three, a good part of the structure is that thin.
_THIN = 3.0
_MASKS = 24


@dataclass(frozen=True)
class ThinStructure:
    """The median width in pixels of a structure in the images, and in the view that shrinks it."""

    native: float
    seen: float

    def __str__(self) -> str:
        """Return both widths in words, for the view of a base."""
        return self.seen_by("the base")

    def seen_by(self, what: str) -> str:
        """Return both widths in words; ``what`` sees the smaller one."""
        return (
            f"the structure is about {self.native:.1f} pixels wide in the images, and {self.seen:.1f} at the size of"
            f" {what}"
        )


def thin_structure(view: DataConfig, manifest: Manifest) -> ThinStructure | None:
    """Return the widths where ``view`` shrinks the structure to less than three pixels; else None.

    ``manifest`` has its splits. The width is the median over some training masks. Views at native
    scale, and structures that are as thin in the image, give None. Raises DataError for a mask that
    cannot be decoded.
    """
    masks = [sample for sample in manifest.split("train") if sample.mask is not None]
    if not masks or view.fit not in ("squash", "pad"):
        return None
    pairs = []
    for sample in evenly_spaced(masks, _MASKS):
        assert sample.mask is not None
        mask_HW = read_mask(sample.mask, None)
        native = structure_width(mask_HW)
        if native:
            pairs.append((native, native * _scale((mask_HW.shape[1], mask_HW.shape[0]), view)))
    if not pairs:
        return None
    native, seen = (median(widths) for widths in zip(*pairs, strict=True))
    return ThinStructure(native, seen) if seen < min(_THIN, native) else None


def suit_thin(
    config: TrialConfig,
    base: TrialConfig,
    view: Mapping[str, Any],
    chosen: Recipe,
    given: Collection[str],
    manifest: Manifest,
) -> tuple[TrialConfig, Mapping[str, Any]]:
    """Return config and view with the recipe's changes where the structure would be lost.

    A ``view`` that says how images are fitted stays as it is. A base that takes images of its own
    size only keeps that size, and only squares are turned. The changes of the config belong
    together: if the fields ``given`` by the user contain one of them, none is made.
    """
    if not chosen.thin_view or view.keys() & {"data.fit", "data.zoom"}:
        return config, view
    seen = on_base(config, base, view).data
    if thin_structure(seen, manifest) is None:
        return config, view
    changes = {} if chosen.thin_config.keys() & set(given) else chosen.thin_config
    return set_fields(config, changes), _thin_view(base, view, seen, chosen.thin_view, manifest)


def _thin_view(
    base: TrialConfig, view: Mapping[str, Any], seen: DataConfig, thin: Mapping[str, Any], manifest: Manifest
) -> Mapping[str, Any]:
    refused, patch = set[str](), seen
    if "data.size" not in view:
        patch = seen.model_copy(update={"size": thin["data.size"]})
        if not takes_size(base.network(len(manifest.classes)), patch.size_HW):
            # Left to the base: its best trial may have drawn another one.
            refused, patch = {"data.size"}, seen
    if not isinstance(patch.size, int):
        refused.add("data.turn")
    return {**{name: value for name, value in thin.items() if name not in refused}, **view}


def describe_view(spec: StudySpec, base: StudySpec | None, manifest: Manifest) -> str | None:
    """Say that masks are learned at native scale, or should be; None if there is no need."""
    if spec.kind.facts.task == "multitask":
        thin = thin_structure(spec.config.data, manifest)
        advice = "raise data.size, or learn its masks in a decoder study on a classifier, in patches at native scale"
        return f"{thin.seen_by('the labels')}: {advice}" if thin else None
    if spec.kind.facts.task != "segment" or base is None:
        return None
    seen = spec.on_base(base.config).data
    if seen.fit == "patch":
        thin = thin_structure(on_base(spec.config, base.config, {}).data, manifest)
        scale = f"the decoder learns patches of {seen.size} pixels at native scale"
        return f"{thin}: {scale} (`--set data.fit=squash` for whole images)" if thin else None
    thin = thin_structure(seen, manifest)
    return f"{thin}: `--set data.fit=patch` shows it at its own scale" if thin else None


def _scale(size: tuple[int, int], view: DataConfig) -> float:
    """Return the factor on lengths from an image of ``size`` (width, height) to the view."""
    height, width = view.size_HW
    if view.fit == "pad":
        return fit_within(size, (width, height))[0] / size[0]
    return min(width * view.zoom / size[0], height * view.zoom / size[1])
