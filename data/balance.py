"""Uneven classes: drawn equally often, or weighted by their frequency."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def class_weights(labels: Sequence[int], num_classes: int) -> Tensor:
    """Return a weight for each class, inversely proportional to its number of images.

    It is n / (k n_c) for n images of k classes, n_c of this one: scikit-learn's "balanced", whose
    mean over the images is 1. A class without an image has weight 0 and does not count in k.
    """
    count_N = torch.bincount(torch.tensor(labels), minlength=num_classes)
    present = int((count_N > 0).sum())
    return torch.where(count_N > 0, len(labels) / (present * count_N.clamp(min=1)), 0.0).float()


def balanced_order(labels: Sequence[int], generator: torch.Generator) -> list[int]:
    """Return as many indices as there are labels, of each class equally many, in random order.

    Every image of a class comes equally often, up to one. If the classes do not divide the number,
    random ones get one more.
    """
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    quota, rest = divmod(len(labels), len(members))
    favoured = set(torch.randperm(len(members), generator=generator)[:rest].tolist())
    drawn: list[int] = []
    for place, indices in enumerate(members.values()):
        wanted = quota + (place in favoured)
        passes = [torch.randperm(len(indices), generator=generator) for _ in range(-(-wanted // len(indices)))]
        drawn += [indices[number] for number in torch.cat(passes)[:wanted].tolist()]
    return [drawn[number] for number in torch.randperm(len(drawn), generator=generator).tolist()]


def draw_names(order: Sequence[int]) -> Iterator[str]:
    """Yield a name for each draw of an epoch, so that a repeated image changes in another way."""
    draws: Counter[int] = Counter()
    for index in order:
        yield f"{index} draw {draws[index]}" if draws[index] else str(index)
        draws[index] += 1
