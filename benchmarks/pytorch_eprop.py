"""The e-prop gradient of :class:`benchmarks.inner_steps.EPropStep` in eager PyTorch, in its fast form.

One product with each matrix per step of time, filters of the readout on the learning signals, and one matrix product
for each gradient.
"""

# pyright: reportMissingImports=false
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.inner_steps import EPropStep
from metaplax.networks import SpikingWeights, Triangular
from metaplax.tasks import Examples

Tensor = Any
"""Of PyTorch, which need not be installed until one of these functions is called."""

Tensors = tuple[Tensor, ...]


def eager_run(case: EPropStep, weights: SpikingWeights, examples: Examples, steps: int) -> Callable[[], None]:
    """A function that takes so many steps, on one thread."""
    import torch

    torch.set_num_threads(1)
    start, x, y = as_tensors(weights, examples)

    def run() -> None:
        matrices = start
        for _ in range(steps):
            slopes = direction(case, matrices, x, y)
            matrices = tuple(matrix - case.rate * d for matrix, d in zip(matrices, slopes, strict=True))

    return run


def as_tensors(weights: SpikingWeights, examples: Examples) -> tuple[Tensors, Tensor, Tensor]:
    """Weights, spikes with time first, and targets."""
    import torch

    matrices = (weights.input, weights.recurrent, weights.readout)
    w_in, w_rec, w_out, x, y = (torch.from_numpy(np.array(array)) for array in (*matrices, examples.x, examples.y))
    return (w_in, w_rec, w_out), x.transpose(0, 1).contiguous(), y


def direction(case: EPropStep, weights: Tensors, x: Tensor, y: Tensor) -> Tensors:
    """The e-prop gradient of one task, for neurons that do not adapt."""
    import torch

    network, pseudo = case.network, case.inner_gradient.pseudo
    assert isinstance(pseudo, Triangular)
    w_in, w_rec, w_out = weights
    alpha, kappa, threshold = network.alpha, network.kappa, network.threshold
    drive = x @ w_in.T
    v = [torch.zeros_like(drive[0])]
    z = [torch.zeros_like(drive[0])]
    for now in drive[:-1]:
        v.append(alpha * v[-1] + z[-1] @ w_rec.T + now - threshold * z[-1])
        z.append((v[-1] > threshold).to(now.dtype))
    voltages, spikes = torch.stack(v), torch.stack(z)
    output = _filtered(kappa, spikes @ w_out.T)
    error = output - y
    learning = _filtered(kappa, (error @ w_out).flip(0)).flip(0)
    psi = pseudo.height * torch.relu(1 - (voltages - threshold).abs() / pseudo.width)
    told = (psi * learning).flatten(0, 1)
    return (
        told.T @ _later(_filtered(alpha, x)).flatten(0, 1),
        told.T @ _later(_filtered(alpha, spikes)).flatten(0, 1),
        error.flatten(0, 1).T @ _filtered(kappa, spikes).flatten(0, 1),
    )


def _filtered(decay: float, x: Tensor) -> Tensor:
    """A leaky sum over time."""
    import torch

    found = [x[0]]
    for now in x[1:]:
        found.append(decay * found[-1] + now)
    return torch.stack(found)


def _later(x: Tensor) -> Tensor:
    """One step later, silent at first."""
    import torch

    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])
