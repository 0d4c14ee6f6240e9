"""Products with the Hessian of a network's loss: the gradient is differentiated once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import State
from glassyrun_networks.shares import Cut

if TYPE_CHECKING:
    from glassyrun_networks.network import Network

Vectors = Float[Tensor, "replica dof"]


def product(network: Network, state: State, vectors: Vectors, cut: Cut) -> Vectors:
    """∇²L v of each replica, of the mean loss over the terms of a cut and without the penalty."""
    pairs = State(torch.cat([state.x, vectors], 1), state.step, state.system)  # what is shared out are rows of x
    found = network._shares.out(network, pairs, cut, _product)
    return torch.cat([_mean(parts, sizes) for parts, sizes in found])


def _product(network: Network, pairs: State, cut: Cut) -> Vectors:
    """The same of the replicas and terms of one thread."""
    x, vectors = pairs.x.tensor_split(2, dim=1)
    state = State(x, pairs.step, pairs.system)
    network._set_mode(training=True)
    total = torch.zeros_like(x)
    terms_in_all = sum(terms.shape[1] for terms in cut)
    for terms in cut:
        for group in network._groups(state, cut):
            own = network._parts["train"].take(terms if len(terms) == 1 else terms[group])
            bent = _differentiated(network, state, group, vectors[group], *own)
            total[group] += terms.shape[1] / terms_in_all * torch.cat(bent, 1)
    return total


def _differentiated(
    network: Network, state: State, group: slice, vectors: Vectors, seen: Tensor, labels: Tensor
) -> Sequence[Float[Tensor, "some _"]]:
    """d/dx of v·∇L, by each parameter."""
    with torch.enable_grad():
        parts = [part.detach().requires_grad_() for part in network._layout.weights(state.x[group])]
        loss, _ = network._losses(state, parts, group, seen, labels)
        slopes = torch.autograd.grad(loss.sum(), parts, create_graph=True)
        bent = [
            (slope, along) for slope, along in zip(slopes, network._layout.parts(vectors), strict=True) if slope.requires_grad
        ]
        if not bent:  # linear in all parameters
            return [torch.zeros_like(part) for part in parts]
        outputs, weights = zip(*bent, strict=True)
        return torch.autograd.grad(outputs, parts, weights, allow_unused=True, materialize_grads=True)


def _mean(parts: Sequence[Vectors], sizes: Sequence[int]) -> Vectors:
    """Over the terms that several threads looked at; always added in this order."""
    total = parts[0] * (sizes[0] / sum(sizes))
    for part, size in zip(parts[1:], sizes[1:], strict=True):
        total.add_(part, alpha=size / sum(sizes))
    return total
