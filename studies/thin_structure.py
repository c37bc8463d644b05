"""Tell when a decoder study's view shrinks the structure until it is hardly visible."""

from statistics import median

from ..data.data_config import DataConfig
from ..data.images import read_mask
from ..data.manifest import Manifest, evenly_spaced
from ..data.structure_width import structure_width
from ..data.transforms import fit_within
from ..search.spec import StudySpec

# Below two pixels, the nearest-pixel resize of a mask breaks a line into pieces.
_THIN = 2.0
_MASKS = 24


def thin_structure(spec: StudySpec, base: StudySpec | None, manifest: Manifest) -> str | None:
    """Return advice where the view shrinks the structure to less than two pixels; else None.

    ``manifest`` has its splits. The width is the median over some training masks. Views at native
    scale, studies without a decoder and structures that are as thin in the image get no advice.
    Raises DataError for a mask that cannot be decoded.
    """
    masks = [sample for sample in manifest.split("train") if sample.mask is not None]
    if spec.kind.facts.task != "segment" or not masks:
        return None
    view = spec.on_base(None if base is None else base.config).data
    if view.fit not in ("squash", "pad"):
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
    if seen >= min(_THIN, native):
        return None
    return (
        f"the structure is about {native:.1f} pixels wide in the images, and {seen:.1f} in the view of the decoder:"
        " `--set data.fit=patch` shows it at its own scale"
    )


def _scale(size: tuple[int, int], view: DataConfig) -> float:
    """Return the factor on lengths from an image of ``size`` (width, height) to the view."""
    height, width = view.size_HW
    if view.fit == "pad":
        return fit_within(size, (width, height))[0] / size[0]
    return min(width * view.zoom / size[0], height * view.zoom / size[1])
