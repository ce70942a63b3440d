"""Inner steps of meta-optimisation in eager PyTorch."""

from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, cross_entropy, linear, max_pool2d

from benchmarks.cases.base import Run
from benchmarks.cases.meta_optimisation import DECAY, MOMENTUM, RATE, RegularisedStep
from metaplax.networks import BatchNormLeNet
from metaplax.tasks import Examples


def rival(case: RegularisedStep, steps: int) -> Run:
    """Takes ``steps`` steps, each on a random batch."""
    weights, x, y = as_tensors(case, case.learner(1).init(jax.random.key(1)).fast, case.support())
    if isinstance(case.network, BatchNormLeNet):
        optimizer = torch.optim.SGD(weights, RATE, momentum=MOMENTUM, nesterov=True)
    else:
        optimizer = torch.optim.Adam(weights, RATE)

    def run() -> None:
        for _ in range(steps):
            rows = torch.randperm(len(x))[: case.batch]
            optimizer.zero_grad()
            energy(case, weights, x[rows], y[rows]).backward()
            optimizer.step()

    return run


def as_tensors(case: RegularisedStep, fast: Any, support: Examples) -> tuple[list[Tensor], Tensor, Tensor]:
    """Weights, images and labels in PyTorch's layout."""
    x, y = torch.from_numpy(np.array(support.x)), torch.from_numpy(np.array(support.y)).long()
    if isinstance(case.network, BatchNormLeNet):
        x = x.permute(0, 3, 1, 2).contiguous()
        parts = [*(part.layer for part in fast[:-1]), fast[-1]]
        arrays = [array for part in parts for array in (_outputs_first(np.array(part.weight)), part.bias)]
        arrays += [array for part in fast[:-1] for array in (part.scale, part.shift)]
    else:
        arrays = [array for layer in fast.layers for array in (layer.weight, layer.bias)]
    return [torch.tensor(np.array(array), requires_grad=True) for array in arrays], x, y


def energy(case: RegularisedStep, weights: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean loss of a batch plus the decay of all weights."""
    outputs = _lenet(weights, x) if isinstance(case.network, BatchNormLeNet) else _mlp(weights, x)
    return cross_entropy(outputs, y) + sum((DECAY * weight**2).sum() for weight in weights)


def _mlp(weights: list[Tensor], x: Tensor) -> Tensor:
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = torch.tanh(linear(x, weight, bias))
    return linear(x, *weights[-2:])


def _lenet(weights: list[Tensor], x: Tensor) -> Tensor:
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    layers, affine = pairs[:5], pairs[5:]
    for layer, (scale, shift) in zip(layers[:2], affine[:2], strict=True):
        x = max_pool2d(torch.relu(batch_norm(conv2d(x, *layer), None, None, scale, shift, training=True)), 2)
    x = x.flatten(1)
    for layer, (scale, shift) in zip(layers[2:4], affine[2:], strict=True):
        x = torch.relu(batch_norm(linear(x, *layer), None, None, scale, shift, training=True))
    return linear(x, *layers[4])


def _outputs_first(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T
