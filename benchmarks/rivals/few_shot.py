"""Few-shot steps and the contrastive meta-update in eager PyTorch."""

from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, cross_entropy, linear, max_pool2d

from benchmarks.cases.base import Run
from benchmarks.cases.few_shot import BETA, MOMENTUM, RATE, STRENGTH, FewShotMetaUpdate, FewShotStep
from metaplax.learners import ComplexSynapse
from metaplax.tasks import Examples


def rival(case: FewShotStep, steps: int) -> Run:
    """Takes ``steps`` steps from the consolidated weights."""
    episode = case.episode()
    omega, support, query = as_tensors(case.learner(steps)), _examples(episode.support), _examples(episode.query)
    return lambda: _minimised(omega, omega, support, query, steps, case.beta)


def meta_update_rival(case: FewShotMetaUpdate, steps: int) -> Run:
    """Goes through the tasks one by one, and gives the mean of their contrastive meta-gradients."""
    del steps
    omega = as_tensors(case.step.learner(case.phase))
    tasks = [(_examples(episode.support), _examples(episode.query)) for episode in case.episodes()]

    def run() -> list[Tensor]:
        total = [0 * weight for weight in omega]
        for support, query in tasks:
            free = _minimised(omega, omega, support, query, case.phase, 0.0)
            plus, minus = (_minimised(omega, free, support, query, case.phase, sign * BETA) for sign in (1, -1))
            for entry, a, b in zip(total, minus, plus, strict=True):
                entry += STRENGTH * (a - b) / (2 * BETA) / len(tasks)
        return total

    return run


def as_tensors(learner: ComplexSynapse) -> list[Tensor]:
    """Kernels, scales and shifts of every block, then matrix and biases of the readout, in PyTorch's layout."""
    *blocks, readout = jax.tree.map(np.asarray, learner.omega)
    arrays = [a for block in blocks for a in (block.kernel.transpose(3, 2, 0, 1), block.scale, block.shift)]
    return [torch.tensor(np.array(array)) for array in (*arrays, readout.weight.T, readout.bias)]


def _examples(examples: Examples) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(np.array(examples.x)).permute(0, 3, 1, 2).contiguous()
    return x, torch.from_numpy(np.array(examples.y)).long()


def _minimised(
    omega: list[Tensor], start: list[Tensor], support: Any, query: Any, steps: int, beta: float
) -> list[Tensor]:
    """Weights after ``steps`` steps of one phase, with a new optimiser."""
    weights = [weight.clone().requires_grad_() for weight in start]
    optimizer = torch.optim.SGD(weights, RATE, momentum=MOMENTUM, nesterov=True)
    for _ in range(steps):
        optimizer.zero_grad()
        energy = cross_entropy(outputs(weights, support[0]), support[1])
        energy = energy + sum((0.5 * STRENGTH * (a - b) ** 2).sum() for a, b in zip(weights, omega, strict=True))
        if beta:
            energy = energy + beta * cross_entropy(outputs(weights, query[0]), query[1])
        energy.backward()
        optimizer.step()
    return [weight.detach() for weight in weights]


def outputs(weights: list[Tensor], x: Tensor) -> Tensor:
    """Outputs of the network for a batch."""
    for kernel, scale, shift in zip(weights[:-2:3], weights[1:-2:3], weights[2:-2:3], strict=True):
        y = conv2d(x, kernel, padding=1)
        x = max_pool2d(torch.relu(batch_norm(y, None, None, scale, shift, training=True)), 2)
    # Rows, columns, then channels: the order in which metaplax flattens images.
    return linear(x.permute(0, 2, 3, 1).flatten(1), *weights[-2:])
