"""The combiner of PIM (section 6) and HERBS (section 3): a graph over the selected positions.

Shapes: B batch, N classes, D width, K selected positions of all levels together, J nodes.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The initial weight of an edge to another node; the edge to the node itself has twice that.
_ADJACENCY = 0.01
# The width divided by this is the width of queries and keys.
_REDUCTION = 4


class CombinerOutput(NamedTuple):
    """The logits ``(B, N)``, and the features ``(B, D)`` that they are computed from."""

    logits_BN: Tensor
    features_BD: Tensor


class Combiner(nn.Module):
    """Pool ranked positions into J nodes, apply one adaptive graph convolution, and classify.

    The edge from node i to node j is adjacency(i, j) + alpha tanh(q(i) - k(j)). The first term is
    learned and the same for all images; the second depends on the image, and alpha starts at zero.

    ``ranks`` selects how K positions become J nodes. ``learned`` uses a learned matrix, with one
    row per rank, so K is fixed. ``mean`` averages J chunks of consecutive ranks and takes any K.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        positions: int,
        nodes: int,
        ranks: Literal["learned", "mean"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self.pool_ranks = nn.Linear(positions, nodes) if ranks == "learned" else None
        self.adjacency = nn.Parameter(torch.full((nodes, nodes), _ADJACENCY) + _ADJACENCY * torch.eye(nodes))
        self.alpha = nn.Parameter(torch.zeros(1))
        self.graph = nn.Linear(width, width)
        self.query = nn.Linear(width, width // _REDUCTION)
        self.key = nn.Linear(width, width // _REDUCTION)
        self.norm = nn.BatchNorm1d(width)
        self.pool_nodes = nn.Linear(nodes, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x_BKD: Tensor) -> CombinerOutput:
        """Classify the selected positions of all levels, shallow to deep, best first per level."""
        x_BDK = x_BKD.mT
        x_BDJ = F.adaptive_avg_pool1d(x_BDK, self.nodes) if self.pool_ranks is None else self.pool_ranks(x_BDK)
        x_BJD = x_BDJ.mT
        # H'(d, j) is the sum over i of H(d, i) A(i, j): the edges act on the source nodes.
        mixed_BJD = self.edges(x_BJD).mT @ self.graph(x_BJD)
        normed_BJD = self.norm(mixed_BJD.flatten(0, 1)).view_as(mixed_BJD)
        features_BD = self.pool_nodes(normed_BJD.mT).squeeze(2)
        return CombinerOutput(self.classifier(self.dropout(features_BD)), features_BD)

    def edges(self, x_BJD: Tensor) -> Tensor:
        """Return the graph's matrix ``(B, J, J)``, source nodes first, from nodes ``(B, J, D)``."""
        query_BJ, key_BJ = self.query(x_BJD).mean(dim=2), self.key(x_BJD).mean(dim=2)
        return self.adjacency + self.alpha * torch.tanh(query_BJ[:, :, None] - key_BJ[:, None, :])
