"""What a decoder study searches: the branch widths of the feature enhancer."""

from collections.abc import Mapping

from .space import Choice, Float, Space

BRANCHES = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")

# MNSA section 6.2: three widths for five branches, shared by all levels, 243 architectures.
MNSA_SPACE = Space(
    dimensions=tuple(Choice(name=f"decoder.widths.{branch}", choices=(1 / 16, 1 / 8, 1 / 4)) for branch in BRANCHES)
)

# Other decoders have no branches; those of the library come with widths of their own.
_ENHANCED: Mapping[str, tuple[str, ...]] = {"decoder.kind": ("mnsa",)}
_OURS: Mapping[str, tuple[str, ...]] = {"decoder.kind": ("unet", "unet3p", "unet3p_ref", "mnsa")}

# The published widths alone lie within the noise of short trainings: 0 switches a branch off, the learning rate joins.
DECODER_SPACE = Space(
    dimensions=(
        *(
            Choice(name=f"decoder.widths.{branch}", choices=(0.0, 1 / 16, 1 / 8, 1 / 4), when=_ENHANCED)
            for branch in BRANCHES
        ),
        Choice(name="decoder.channels", choices=(16, 32, 64), when=_OURS),
        Float(name="train.lr", low=1e-3, high=1e-2, log=True),
    )
)
