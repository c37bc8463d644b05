"""What a decoder study searches: the form of the decoder and, where it has one, every part of its feature enhancer."""

from collections.abc import Mapping

from .space import Choice, Float, Scalar, Space

BRANCHES = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")
LEVELS = ("level1", "level2", "level3", "level4", "level5")

_PAPER_WIDTHS = (1 / 16, 1 / 8, 1 / 4)

# MNSA section 6.2: three widths for five branches, shared by all levels, 243 architectures.
MNSA_SPACE = Space(
    dimensions=tuple(Choice(name=f"decoder.widths.{branch}", choices=_PAPER_WIDTHS) for branch in BRANCHES)
)

# Other decoders have no branches; those of the library come with widths of their own.
_ENHANCED: Mapping[str, tuple[Scalar, ...]] = {"decoder.kind": ("mnsa",)}
_OURS: Mapping[str, tuple[Scalar, ...]] = {"decoder.kind": ("unet", "unet3p", "unet3p_ref", "mnsa")}


def _with_branch(branch: str) -> Mapping[str, tuple[Scalar, ...]]:
    return {**_ENHANCED, f"decoder.widths.{branch}": _PAPER_WIDTHS}


# The published widths alone lie within the noise of short trainings (see docs/how-to/signal.md). Here a branch can be
# switched off (0), and so can all branches of a level; what a branch does, what surrounds it and how it learns join.
DECODER_SPACE = Space(
    dimensions=(
        # U-Net 3+ has no small form: with its 64 channels a branch it has some twenty times the weights of the others.
        Choice(name="decoder.kind", choices=("mnsa", "unet")),
        *(
            Choice(name=f"decoder.widths.{branch}", choices=(0.0, *_PAPER_WIDTHS), when=_ENHANCED)
            for branch in BRANCHES
        ),
        *(Choice(name=f"decoder.levels.{level}", choices=(0.0, 0.5, 1.0, 2.0), when=_ENHANCED) for level in LEVELS),
        Choice(name="decoder.deform_kernel", choices=(3, 5, 7), when=_with_branch("deform5")),
        Choice(name="decoder.dilation", choices=(3, 4, 6), when=_with_branch("atrous3")),
        Choice(name="decoder.transfer", choices=(0.0, 0.125, 0.25, 0.5), when=_ENHANCED),
        Choice(name="decoder.channels", choices=(16, 32, 64), when=_OURS),
        Choice(name="decoder.supervise", choices=(False, True), when=_OURS),
        Choice(name="train.dice_weight", choices=(0.0, 0.5, 1.0, 2.0)),
        Float(name="train.lr", low=1e-3, high=1e-2, log=True),
    )
)
