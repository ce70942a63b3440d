"""The steps of :mod:`benchmarks.few_shot_steps` in eager PyTorch, on the same arrays."""

# pyright: reportMissingImports=false
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.few_shot_steps import RATE, STRENGTH
from benchmarks.inner_steps import MOMENTUM
from metaplax.learners import ComplexSynapse
from metaplax.tasks import Episode, Examples

Tensor = Any
"""Of PyTorch, which need not be installed until one of these functions is called."""


def steps_of(learner: ComplexSynapse, episode: Episode, steps: int, beta: float) -> Callable[[], list[Tensor]]:
    """A function that takes so many steps from the consolidated weights, on one thread."""
    omega, support, query = as_tensors(learner), _examples(episode.support), _examples(episode.query)
    return lambda: _settled(omega, omega, support, query, steps, beta)


def meta_update_of(
    learner: ComplexSynapse, episodes: Sequence[Episode], steps: int, beta: float
) -> Callable[[], list[Tensor]]:
    """A function that goes through the tasks one by one, and gives the mean of their contrastive meta-gradients."""
    omega = as_tensors(learner)
    tasks = [(_examples(episode.support), _examples(episode.query)) for episode in episodes]

    def run() -> list[Tensor]:
        total = [0 * weight for weight in omega]
        for support, query in tasks:
            free = _settled(omega, omega, support, query, steps, 0.0)
            plus, minus = (_settled(omega, free, support, query, steps, sign * beta) for sign in (1, -1))
            for entry, a, b in zip(total, minus, plus, strict=True):
                entry += STRENGTH * (a - b) / (2 * beta) / len(tasks)
        return total

    return run


def as_tensors(learner: ComplexSynapse) -> list[Tensor]:
    """Kernels, scales and shifts of every block, then matrix and biases of the readout, as PyTorch lays them out."""
    import torch

    torch.set_num_threads(1)
    *blocks, readout = jax.tree.map(np.asarray, learner.omega)
    arrays = [a for block in blocks for a in (block.kernel.transpose(3, 2, 0, 1), block.scale, block.shift)]
    return [torch.tensor(np.array(array)) for array in (*arrays, readout.weight.T, readout.bias)]


def _examples(examples: Examples) -> tuple[Tensor, Tensor]:
    import torch

    x = torch.from_numpy(np.array(examples.x)).permute(0, 3, 1, 2).contiguous()
    return x, torch.from_numpy(np.array(examples.y)).long()


def _settled(
    omega: list[Tensor], start: list[Tensor], support: Any, query: Any, steps: int, beta: float
) -> list[Tensor]:
    """Weights after so many steps of a phase, with an optimiser that starts afresh."""
    import torch
    from torch.nn.functional import cross_entropy

    weights = [weight.clone().requires_grad_() for weight in start]
    optimizer = torch.optim.SGD(weights, RATE, momentum=MOMENTUM, nesterov=True)
    for _ in range(steps):
        optimizer.zero_grad()
        energy = cross_entropy(answers(weights, support[0]), support[1])
        energy = energy + sum((0.5 * STRENGTH * (a - b) ** 2).sum() for a, b in zip(weights, omega, strict=True))
        if beta:
            energy = energy + beta * cross_entropy(answers(weights, query[0]), query[1])
        energy.backward()
        optimizer.step()
    return [weight.detach() for weight in weights]


def answers(weights: list[Tensor], x: Tensor) -> Tensor:
    """What the network says to a batch."""
    import torch
    from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d

    for kernel, scale, shift in zip(weights[:-2:3], weights[1:-2:3], weights[2:-2:3], strict=True):
        y = conv2d(x, kernel, padding=1)
        x = max_pool2d(torch.relu(batch_norm(y, None, None, scale, shift, training=True)), 2)
    # Rows, columns, then channels, as the readout's weights are sorted.
    return linear(x.permute(0, 2, 3, 1).flatten(1), *weights[-2:])
