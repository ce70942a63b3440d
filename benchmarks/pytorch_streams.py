"""The meta-gradient of :class:`metaplax.learners.FeedbackPlasticity` as published, in eager PyTorch, same arrays.

Oja's rule with a plasticity per synapse, paths of one layer with ReLU, errors of numbers or targets that are classes,
no bounds.

Plain operations on tensors that keep the graph of all inner steps; features of encoder layers are computed once, and
only the last state is scored.
"""

# pyright: reportMissingImports=false
from collections.abc import Callable
from typing import Any

import numpy as np

from metaplax.learners import FeedbackPlasticity
from metaplax.networks import ConvEncoder, MeanSquaredError
from metaplax.tasks import Episode

Tensor = Any
"""Of PyTorch, which need not be installed until one of these functions is called."""


def eager_run(learner: FeedbackPlasticity, episode: Episode) -> Callable[[], tuple[float, list[Tensor]]]:
    """A function that computes loss and meta-gradient of one episode, on one thread."""
    import torch

    torch.set_num_threads(1)
    parameters = as_tensors(learner)
    stream, targets = _tensor(episode.support.x), _tensor(episode.support.y)
    query, wanted = _tensor(episode.query.x), _tensor(episode.query.y)

    def run() -> tuple[float, list[Tensor]]:
        loss = outer_loss(learner, parameters, (stream, targets), (query, wanted))
        leaves = [leaf for group in parameters.values() for leaf in group]
        gradient = torch.autograd.grad(loss, leaves, allow_unused=True)
        return float(loss.detach()), list(gradient)

    return run


def as_tensors(learner: FeedbackPlasticity) -> dict[str, list[Tensor]]:
    """Meta-parameters by group, as PyTorch lays them out."""
    encoder = [array for layer in learner.start.encoder for array in (_kernel(layer.weight), layer.bias)]
    paths = [path.layers[0] for path in learner.feedback if path is not None]
    groups = {
        "encoder": encoder,
        "weights": [layer.weight for layer in learner.start.layers],
        "biases": [layer.bias for layer in learner.start.layers],
        "paths": [array for path in paths for array in (path.weight, path.bias)],
        "plasticity": [learner.plasticity.at(n, 0) for n in range(1, len(learner.feedback) + 1)],
        "strength": list(learner.strength),
    }
    return {name: [_tensor(array).requires_grad_() for array in arrays] for name, arrays in groups.items()}


def outer_loss(
    learner: FeedbackPlasticity,
    parameters: dict[str, list[Tensor]],
    support: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
) -> Tensor:
    """Loss of the query set after the whole stream."""
    import torch
    from torch.nn.functional import cross_entropy, mse_loss, one_hot

    stream, targets = support
    regression = isinstance(learner.network.readout, MeanSquaredError)
    features = _front(learner, parameters["encoder"], stream.flatten(0, 1)).unflatten(0, stream.shape[:2])
    weights, biases, depth = list(parameters["weights"]), parameters["biases"], len(parameters["weights"])
    for x, y in zip(features, targets, strict=True):
        activity = _forward(weights, biases, x)
        signal = y - activity[-1] if regression else one_hot(y, learner.network.outputs).to(x.dtype)
        changed = []
        for n, weight in enumerate(weights):
            taught = activity[n + 1]
            if learner.feedback[n] is not None:
                path = torch.relu(signal @ parameters["paths"][2 * n].T + parameters["paths"][2 * n + 1])
                strength = parameters["strength"][n]
                taught = strength * path + (1 - strength) * taught
            elif n == depth - 1:
                taught = signal
            multiplier = learner.hidden_multiplier if n < depth - 1 else 1.0
            hebb = taught.T @ activity[n] - (taught**2).sum(0)[:, None] * weight
            changed.append(weight + multiplier * parameters["plasticity"][n] * hebb)
        weights = changed
    outputs = _forward(weights, biases, _front(learner, parameters["encoder"], query[0]))[-1]
    return mse_loss(outputs, query[1]) if regression else cross_entropy(outputs, query[1])


def _forward(weights: list[Tensor], biases: list[Tensor], x: Tensor) -> list[Tensor]:
    import torch

    activity = [x]
    for n, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
        drive = activity[-1] @ weight.T + bias
        activity.append(torch.relu(drive) if n < len(weights) else drive)
    return activity


def _front(learner: FeedbackPlasticity, layers: list[Tensor], x: Tensor) -> Tensor:
    import torch
    from torch.nn.functional import conv2d

    encoder = learner.network.encoder
    if not isinstance(encoder, ConvEncoder):
        return x.flatten(1)
    y = x[:, None]
    for weight, bias, stride in zip(layers[::2], layers[1::2], encoder.strides, strict=True):
        y = torch.relu(conv2d(y, weight, bias, stride))
    # Rows, columns and channels are flattened in the order that the other side has them in.
    return y.permute(0, 2, 3, 1).flatten(1)


def _kernel(weight: Any) -> np.ndarray:
    """A convolution as PyTorch lays it out; matrices are the same."""
    array = np.asarray(weight)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def _tensor(array: Any) -> Tensor:
    import torch

    found = torch.from_numpy(np.array(array))
    return found.long() if found.dtype == torch.int32 else found
