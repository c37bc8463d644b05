"""The search spaces of decoder studies: the decoder's kind and every part of its enhancer."""

from collections.abc import Mapping

from .space import Choice, Float, Scalar, Space

BRANCHES = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")
LEVELS = ("level1", "level2", "level3", "level4", "level5")

_PAPER_WIDTHS = (1 / 16, 1 / 8, 1 / 4)

# MNSA section 6.2: three widths for five branches, shared by all levels, 243 architectures.
MNSA_SPACE = Space(
    dimensions=tuple(Choice(name=f"decoder.widths.{branch}", choices=_PAPER_WIDTHS) for branch in BRANCHES)
)

# Only MNSA has branches, and the library's decoders have widths of their own.
_HAS_BRANCHES: Mapping[str, tuple[Scalar, ...]] = {"decoder.kind": ("mnsa",)}
_HAS_CHANNELS: Mapping[str, tuple[Scalar, ...]] = {"decoder.kind": ("unet", "unet3p", "unet3p_ref", "mnsa")}


def _with_branch(branch: str) -> Mapping[str, tuple[Scalar, ...]]:
    return {**_HAS_BRANCHES, f"decoder.widths.{branch}": _PAPER_WIDTHS}


# The published widths alone differ by less than the noise of short trainings (see
# docs/how-to/signal.md). This space can also switch off a branch (0) or all branches of a
# level. It also varies the branches' kernels, the rest of the decoder, and the training.
DECODER_SPACE = Space(
    dimensions=(
        # U-Net 3+ has no small form: with 64 channels per branch it has some twenty times the
        # weights of the others.
        Choice(name="decoder.kind", choices=("mnsa", "unet", "smp_unet")),
        *(
            Choice(name=f"decoder.widths.{branch}", choices=(0.0, *_PAPER_WIDTHS), when=_HAS_BRANCHES)
            for branch in BRANCHES
        ),
        *(Choice(name=f"decoder.levels.{level}", choices=(0.0, 0.5, 1.0, 2.0), when=_HAS_BRANCHES) for level in LEVELS),
        Choice(name="decoder.deform_kernel", choices=(3, 5, 7), when=_with_branch("deform5")),
        Choice(name="decoder.dilation", choices=(3, 4, 6), when=_with_branch("atrous3")),
        Choice(name="decoder.transfer", choices=(0.0, 0.125, 0.25, 0.5), when=_HAS_BRANCHES),
        Choice(name="decoder.channels", choices=(16, 32, 64), when=_HAS_CHANNELS),
        Choice(name="decoder.supervise", choices=(False, True), when=_HAS_CHANNELS),
        Choice(name="decoder.tune_encoder", choices=(False, True)),
        Choice(name="train.dice_weight", choices=(0.0, 0.5, 1.0, 2.0)),
        Float(name="train.lr", low=3e-4, high=1e-2, log=True),
    )
)
