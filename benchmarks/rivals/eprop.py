"""The e-prop gradient in eager PyTorch, in its fast form.

One product with each matrix per time step, filters of the readout on the learning signals, and one matrix product
for each gradient.
"""

import jax
import numpy as np
import torch
from torch import Tensor

from benchmarks.cases.base import Run
from benchmarks.cases.eprop import EPropStep
from metaplax.networks import SpikingWeights, Triangular
from metaplax.tasks import Examples

Tensors = tuple[Tensor, ...]


def rival(case: EPropStep, steps: int) -> Run:
    """Takes ``steps`` steps of one task."""
    weights, examples = jax.tree.map(lambda leaf: leaf[0], case.start())
    start, x, y = as_tensors(weights, examples)

    def run() -> None:
        matrices = start
        for _ in range(steps):
            gradient = direction(case, matrices, x, y)
            matrices = tuple(matrix - case.rate * d for matrix, d in zip(matrices, gradient, strict=True))

    return run


def as_tensors(weights: SpikingWeights, examples: Examples) -> tuple[Tensors, Tensor, Tensor]:
    """Weights, spikes with time first, and targets."""
    matrices = (weights.input, weights.recurrent, weights.readout)
    w_in, w_rec, w_out, x, y = (torch.from_numpy(np.array(array)) for array in (*matrices, examples.x, examples.y))
    return (w_in, w_rec, w_out), x.transpose(0, 1).contiguous(), y


def direction(case: EPropStep, weights: Tensors, x: Tensor, y: Tensor) -> Tensors:
    """The e-prop gradient of one task, for neurons that do not adapt."""
    network, pseudo = case.network, case.inner_gradient.pseudo
    assert isinstance(pseudo, Triangular)
    w_in, w_rec, w_out = weights
    alpha, kappa, threshold = network.alpha, network.kappa, network.threshold
    current = x @ w_in.T
    v = [torch.zeros_like(current[0])]
    z = [torch.zeros_like(current[0])]
    for now in current[:-1]:
        v.append(alpha * v[-1] + z[-1] @ w_rec.T + now - threshold * z[-1])
        z.append((v[-1] > threshold).to(now.dtype))
    voltages, spikes = torch.stack(v), torch.stack(z)
    error = _filtered(kappa, spikes @ w_out.T) - y
    learning = _filtered(kappa, (error @ w_out).flip(0)).flip(0)
    psi = pseudo.height * torch.relu(1 - (voltages - threshold).abs() / pseudo.width)
    signal = (psi * learning).flatten(0, 1)
    return (
        signal.T @ _later(_filtered(alpha, x)).flatten(0, 1),
        signal.T @ _later(_filtered(alpha, spikes)).flatten(0, 1),
        error.flatten(0, 1).T @ _filtered(kappa, spikes).flatten(0, 1),
    )


def _filtered(decay: float, x: Tensor) -> Tensor:
    """A leaky sum over time."""
    found = [x[0]]
    for now in x[1:]:
        found.append(decay * found[-1] + now)
    return torch.stack(found)


def _later(x: Tensor) -> Tensor:
    """Delayed by one step, with zeros first."""
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])
