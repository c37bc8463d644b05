"""Reference implementation of PIM and HERBS from their specs, by explicit loops.

It computes one image, position and level at a time. It shares only the names of weights with the
package. Matrix products and means are explicit loops in float64, batch statistics cover all rows of
all images, and torch is used for its derivatives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Rows = list[list[Tensor]]  # one (S, channels) matrix per level and image


@dataclass(frozen=True)
class Recipe:
    """The differences between PIM and HERBS, and the number of positions kept per level."""

    counts: tuple[int, ...]
    joint: int
    herbs: bool


@dataclass(frozen=True)
class Answers:
    """The module's outputs by level and image; ``combined`` and ``features`` by image."""

    level: Rows
    first: Rows
    kept: list[list[list[int]]]
    dropped: list[list[list[int]]]
    combined: list[Tensor]
    features: list[Tensor]


def answer(weights: Mapping[str, Tensor], levels: Sequence[Tensor], recipe: Recipe) -> Answers:
    """Run the whole module in training mode, without dropout, on levels ``(B, C, h, w)``."""
    rows = [
        [torch.stack([x[:, r, c] for r in range(x.shape[1]) for c in range(x.shape[2])]) for x in v] for v in levels
    ]
    fused = _mlps(weights, "top_down", rows)
    last = len(levels) - 1
    for step, level in enumerate(range(last - 1, -1, -1)):
        fused[level] = _added(
            weights, f"top_down.mixes.{step}", fused, (level + 1, level), same_passes=not recipe.herbs
        )
    first: Rows = []
    if recipe.herbs:
        first = [_head(weights, f"first_heads.{level}", fused[level]) for level in range(last + 1)]
        fused = _mlps(weights, "bottom_up", fused)
        for level in range(last):
            fused[level + 1] = _added(weights, f"bottom_up.mixes.{level}", fused, (level, level + 1), same_passes=False)
    logits = [_head(weights, f"heads.{level}", fused[level]) for level in range(last + 1)]
    order = [[_order(matrix, herbs=recipe.herbs) for matrix in level] for level in logits]
    kept = [[one[:count] for one in level] for level, count in zip(order, recipe.counts, strict=True)]
    dropped = [[one[count:] for one in level] for level, count in zip(order, recipe.counts, strict=True)]
    images = range(len(levels[0]))
    chosen = [torch.stack([fused[i][b][s] for i in range(last + 1) for s in kept[i][b]]) for b in images]
    combined, features = _combine(weights, chosen, recipe.joint)
    return Answers(logits, first, kept, dropped, combined, features)


def pim_loss(answers: Answers, labels: Sequence[int], *, stage: float, dropped: float, selected: float = 0.0) -> Tensor:
    """Return the loss of PIM section 7 (HERBS section 4 unrefined), with combiner weight 1."""
    images = range(len(labels))
    total = sum(_cross_entropy(answers.combined[b], labels[b]) for b in images) / len(labels)
    for level in range(len(answers.level)):
        logits, kept, away = answers.level[level], answers.kept[level], answers.dropped[level]
        means = [sum(logits[b][s] for s in range(len(logits[b]))) / len(logits[b]) for b in images]
        total = total + stage * sum(_cross_entropy(means[b], labels[b]) for b in images) / len(labels)
        picked = [_cross_entropy(logits[b][s], labels[b]) for b in images for s in kept[b]]
        total = total + selected * sum(picked) / len(picked)
        gone = [
            (torch.tanh(logits[b][s][c]) + 1) ** 2 for b in images for s in away[b] for c in range(logits[b].shape[1])
        ]
        if gone:
            total = total + dropped * sum(gone) / len(gone)
    return total


def refine_loss(answers: Answers, heat: float, *, elements: bool = True) -> Tensor:
    """Return the unweighted refinement loss of HERBS section 4, summed over levels."""
    total = torch.zeros((), dtype=torch.float64)
    for teachers, students in zip(answers.level, answers.first, strict=True):
        values = []
        for teacher, student in zip(teachers, students, strict=True):
            for row_t, row_s in zip(teacher.detach(), student, strict=True):
                t, s = _softmax(row_t / heat), _softmax(row_s / heat)
                values.append(sum(t[c] * (torch.log(t[c]) - torch.log(s[c])) for c in range(len(t))))
        total = total + sum(values) / (len(values) * (answers.level[0][0].shape[1] if elements else 1))
    return total


def probability(answers: Answers) -> list[Tensor]:
    """Return the mean of the heads' probabilities by image (PIM section 10, HERBS section 7)."""
    result = []
    for image, logits in enumerate(answers.combined):
        levels = [level[image] for level in (*answers.level, *answers.first)]
        heads = [_softmax(sum(matrix) / len(matrix)) for matrix in levels] + [_softmax(logits)]
        result.append(sum(heads) / len(heads))
    return result


def _mlps(weights: Mapping[str, Tensor], pyramid: str, rows: Rows) -> Rows:
    def project(matrix: Tensor, name: str) -> Tensor:
        hidden = torch.clamp(_affine(weights, f"{name}.0", matrix), min=0)
        return _affine(weights, f"{name}.2", hidden)

    return [[project(m, f"{pyramid}.projections.{level}") for m in ms] for level, ms in enumerate(rows)]


def _added(
    weights: Mapping[str, Tensor], name: str, rows: Rows, step: tuple[int, int], *, same_passes: bool
) -> list[Tensor]:
    source, target = step
    if same_passes and len(rows[source][0]) == len(rows[target][0]):
        return [there + here for there, here in zip(rows[source], rows[target], strict=True)]
    mix, bias = weights[f"{name}.matrix.weight"], weights[f"{name}.matrix.bias"]
    return [
        torch.stack(
            [here[t] + bias[t] + sum(mix[t, s] * there[s] for s in range(len(there))) for t in range(len(here))]
        )
        for there, here in zip(rows[source], rows[target], strict=True)
    ]


def _head(weights: Mapping[str, Tensor], name: str, rows: list[Tensor]) -> list[Tensor]:
    hidden = _normed(weights, f"{name}.1", [_affine(weights, f"{name}.0", matrix) for matrix in rows])
    return [_affine(weights, f"{name}.3", torch.clamp(matrix, min=0)) for matrix in hidden]


def _normed(weights: Mapping[str, Tensor], name: str, rows: list[Tensor]) -> list[Tensor]:
    """Apply batch normalisation with statistics over all rows of all images."""
    every = torch.cat(rows)
    mean = sum(every) / len(every)
    variance = sum((row - mean) ** 2 for row in every) / len(every)
    scale = weights[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
    return [(matrix - mean) * scale + weights[f"{name}.bias"] for matrix in rows]


def _order(logits: Tensor, *, herbs: bool) -> list[int]:
    probabilities = [_softmax(row) for row in logits.detach()]
    if herbs:
        best = int((sum(logits.detach()) / len(logits)).argmax())
        scores = [float(row[best]) for row in probabilities]
    else:
        scores = [float(max(row)) for row in probabilities]
    return sorted(range(len(scores)), key=lambda position: -scores[position])


def _combine(weights: Mapping[str, Tensor], chosen: list[Tensor], joint: int) -> tuple[list[Tensor], list[Tensor]]:
    nodes = len(chosen[0]) // joint
    graphs = []
    for rows in chosen:
        x = _affine(weights, "combiner.pool_ranks", rows.T)  # (D, J)
        queries, keys = (_affine(weights, f"combiner.{name}", x.T) for name in ("query", "key"))
        q, k = (sum(matrix.T) / matrix.shape[1] for matrix in (queries, keys))
        hidden = _affine(weights, "combiner.graph", x.T).T  # (D, J)
        columns = []
        for j in range(nodes):
            edges = [
                weights["combiner.adjacency"][i, j] + weights["combiner.alpha"][0] * torch.tanh(q[i] - k[j])
                for i in range(nodes)
            ]
            columns.append(sum(hidden[:, i] * edges[i] for i in range(nodes)))
        graphs.append(torch.stack(columns))  # (J, D)
    graphs = _normed(weights, "combiner.norm", graphs)
    features = [_affine(weights, "combiner.pool_nodes", graph.T)[:, 0] for graph in graphs]
    return [_affine(weights, "combiner.classifier", vector[None])[0] for vector in features], features


def _affine(weights: Mapping[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _softmax(row: Tensor) -> Tensor:
    shares = torch.exp(row - max(row.detach()))
    return shares / sum(shares)


def _cross_entropy(row: Tensor, label: int) -> Tensor:
    return -torch.log(_softmax(row)[label])
