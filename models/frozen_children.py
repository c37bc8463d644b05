"""Count an encoder's top-level children, and how many of them the papers freeze."""

import re
from collections.abc import Iterator, Sequence

from timm.layers.norm_act import BatchNormAct2d
from torch import nn

# Children that MGANet and XMNet freeze, as ``counted_children`` counts them (their section 3.3).
# torchvision's mobilenets count the stem as one child and have 10 frozen ones.
_PUBLISHED = (
    (re.compile("densenet"), 8),
    (re.compile("mobilenetv2|mobilenetv3_large"), 12),
    (re.compile(r"vgg19(\.|$)"), 21),
)
_RESNET, _RESNET_FROZEN = ("layer1", "layer2", "layer3", "layer4"), "layer2"
# The share of densenet161's parameters that its frozen children have: 3,198,144 of 26,472,000.
DENSENET_SHARE = 3_198_144 / 26_472_000


def counted_children(body: nn.Module) -> Iterator[nn.Module]:
    """Yield top-level children in order, counted as torchvision lists them.

    The freezing thresholds of XMNet and MGANet count like this. A norm fused with its activation
    counts as two children. Stages grouped in one container are listed block by block.
    """
    children = list(body.children())
    if len(children) == 1:
        children = list(children[0].children())
    for child in children:
        if _is_stages(child):
            yield from (block for stage in child.children() for block in stage.children())
        elif isinstance(child, BatchNormAct2d) and not isinstance(child.act, nn.Identity):
            yield from (child, child)
        else:
            yield child


def published_count(body: nn.Module, name: str) -> int | None:
    """Return how many children of timm's ``name`` the papers freeze; None if they name none."""
    children = [child for child, _ in body.named_children()]
    if all(stage in children for stage in _RESNET):
        return children.index(_RESNET_FROZEN) + 1
    return next((count for pattern, count in _PUBLISHED if pattern.search(name)), None)


def frozen_count(body: nn.Module, name: str) -> int:
    """Return how many children ``encoder.frozen_children=auto`` freezes.

    It is the papers' number, or the number whose share of the parameters is nearest to densenet's.
    """
    published = published_count(body, name)
    if published is not None:
        return published
    children = list(counted_children(body))
    total = count_parameters([body])
    shares = [count_parameters(children[:count]) / total for count in range(len(children))]
    return min(range(len(shares)), key=lambda count: abs(shares[count] - DENSENET_SHARE))


def count_parameters(modules: Sequence[nn.Module]) -> int:
    """Return the number of parameters of some modules, shared ones once."""
    return sum(parameter.numel() for parameter in {p for module in modules for p in module.parameters()})


def _is_stages(module: nn.Module) -> bool:
    return type(module) is nn.Sequential and all(type(stage) is nn.Sequential for stage in module.children())
