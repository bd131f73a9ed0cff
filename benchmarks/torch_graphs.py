"""The suite's networks on graphs, in plain PyTorch: messages are gathered at the edges and added up at the nodes.

Modules carry the names that netlang gives the same layers, so that weights cross over by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _looped(edges: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Where edges begin and where they end, with one more from each node to itself."""
    own = torch.arange(nodes)
    return torch.cat((edges[0], own)), torch.cat((edges[1], own))


def _summed(messages: Tensor, at: Tensor, nodes: int) -> Tensor:
    return torch.zeros(nodes, *messages.shape[1:]).index_add(0, at, messages)


class GCNLayer(nn.Module):
    """Kipf & Welling 2017."""

    def __init__(self, i: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, i))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """f32[nodes, i], edges from u to v -> f32[nodes, out]."""
        h = F.linear(x, self.weight)
        root = _summed(torch.ones(len(v)), v, len(x)).clamp(min=1).rsqrt()
        return _summed(h[u] * (root[u] * root[v])[:, None], v, len(x)) + self.bias


class GCN(nn.Module):
    """Two layers with ReLU between them."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        assert drop == 0, "nothing is dropped out here"
        self.first = GCNLayer(1433, 16)
        self.second = GCNLayer(16, 7)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """f32[nodes, 1433], i64[2, e] -> f32[nodes, 7]."""
        u, v = _looped(edges, len(x))
        return self.second(F.relu(self.first(x, u, v)), u, v)

    def loss(self, x: Tensor, edges: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """With the weights of the first layer kept small; and the logits."""
        logits = self(x, edges)
        return F.cross_entropy(logits, label, ignore_index=-1) + 2.5e-4 * self.first.weight.square().sum(), logits


class GATLayer(nn.Module):
    """Veličković et al. 2018."""

    def __init__(self, i: int, out: int, h: int) -> None:
        super().__init__()
        self.h = h
        self.source = nn.Parameter(torch.empty(h, out))
        self.target = nn.Parameter(torch.empty(h, out))
        self.bias = nn.Parameter(torch.empty(h * out))
        self.linear = nn.Linear(i, h * out, bias=False)

    def forward(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """f32[nodes, i], edges from u to v -> f32[nodes, h * out]."""
        z = self.linear(x).unflatten(1, (self.h, -1))
        scores = F.leaky_relu((z * self.source).sum(-1)[u] + (z * self.target).sum(-1)[v], 0.2)
        index = v[:, None].expand_as(scores)
        most = scores.new_zeros(len(x), self.h).scatter_reduce(0, index, scores, "amax", include_self=False)
        raised = (scores - most.detach()[v]).exp()
        alpha = raised / _summed(raised, v, len(x))[v]
        return _summed(alpha[..., None] * z[u], v, len(x)).flatten(1) + self.bias


class GAT(nn.Module):
    """Eight heads of eight features, then one with the classes."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        assert drop == 0, "nothing is dropped out here"
        self.gat = GATLayer(1433, 8, 8)
        self.gat_2 = GATLayer(64, 7, 1)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """f32[nodes, 1433], i64[2, e] -> f32[nodes, 7]."""
        u, v = _looped(edges, len(x))
        return self.gat_2(F.elu(self.gat(x, u, v)), u, v)
