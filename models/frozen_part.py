"""Find out what ``encoder.frozen_children`` freezes of an encoder, without its weights."""

import functools
from typing import NamedTuple

import torch

from ..errors import UsageError
from .encoder import build_encoder
from .frozen_children import DENSENET_SHARE, count_parameters, counted_children, frozen_count, published_count
from .network_config import EncoderConfig


class FrozenPart(NamedTuple):
    """The leading children of an encoder that stay frozen, and their parameters.

    ``published`` is False if no paper gives a number of children for this encoder.
    """

    children: int
    of_children: int
    parameters: int
    of_parameters: int
    published: bool


@functools.lru_cache(maxsize=64)
def frozen_part(config: EncoderConfig) -> FrozenPart:
    """Return which part ``frozen_children`` freezes, without allocating weights.

    Raises UsageError as ``build_encoder`` does.
    """
    with torch.device("meta"):
        encoder = build_encoder(config.model_copy(update={"weights": "none", "frozen": False}))
    body, given = encoder.body, config.frozen_children
    return FrozenPart(
        children=frozen_count(body, config.name) if given == "auto" else given,
        of_children=len(list(counted_children(body))),
        parameters=sum(parameter.numel() for parameter in body.parameters() if not parameter.requires_grad),
        of_parameters=count_parameters([body]),
        published=published_count(body, config.name) is not None,
    )


def describe_frozen(config: EncoderConfig) -> str:
    """Return what ``encoder.frozen_children=auto`` freezes, on one line."""
    part = frozen_part(config)
    reason = (
        "the papers' number"
        if part.published
        else f"the papers have no number for it; this is the share nearest to densenet161's {DENSENET_SHARE:.0%}"
    )
    return (
        f"encoder.frozen_children=auto: {part.children} of the {part.of_children} children of {config.name} stay frozen"
        f" ({part.parameters:,} of {part.of_parameters:,} parameters; {reason})"
    )


def check_not_whole(config: EncoderConfig) -> None:
    """Raise UsageError if the frozen children are all that learns in the encoder."""
    if config.frozen or config.frozen_children == 0:
        return
    part = frozen_part(config)
    if part.parameters == part.of_parameters:
        fitting = frozen_part(config.model_copy(update={"frozen_children": "auto"})).children
        raise UsageError(
            f"encoder.frozen_children={part.children} leaves nothing of {config.name} to train: set {fitting}, or auto;"
            " or freeze it on purpose, with encoder.frozen=true"
        )
