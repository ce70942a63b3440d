"""The meta-gradient of :func:`metaplax.learners.FeedbackPlasticity` in eager PyTorch.

The published learner: Oja's rule with a plasticity per synapse, paths of one layer with ReLU, errors of numbers or
targets that are classes, no bounds. Plain operations on tensors keep the graph of all inner steps; features of the
encoder are computed once, and only the last state is scored.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, mse_loss, one_hot

from benchmarks.cases.base import Run
from benchmarks.cases.streams import StreamMetaStep
from metaplax.learners import PlasticLearner
from metaplax.networks import ConvEncoder, MeanSquaredError
from metaplax.tasks import Episode


def rival(case: StreamMetaStep, steps: int) -> Run:
    """Computes loss and meta-gradient of one episode."""
    del steps
    return meta_gradient(case.learner(), case.episode())


def meta_gradient(learner: PlasticLearner, episode: Episode) -> Run:
    """A function that computes the loss and the gradients of :func:`as_tensors`, ``None`` for those without any."""
    parameters = as_tensors(learner)
    support, query = ((_tensor(part.x), _tensor(part.y)) for part in (episode.support, episode.query))

    def run() -> tuple[float, list[Tensor | None]]:
        loss = outer_loss(learner, parameters, support, query)
        leaves = [leaf for group in parameters.values() for leaf in group]
        return float(loss.detach()), list(torch.autograd.grad(loss, leaves, allow_unused=True))

    return run


def as_tensors(learner: PlasticLearner) -> dict[str, list[Tensor]]:
    """Meta-parameters by group, in PyTorch's layout."""
    encoder = [array for layer in learner.network.weights for array in (_kernel(layer.weight), layer.bias)]
    paths = [path.layers[0] for path in learner.feedback.paths if path is not None]
    groups = {
        "encoder": encoder,
        "weights": list(learner.start),
        "biases": list(learner.network.network.offsets),
        "paths": [array for path in paths for array in (path.weight, path.bias)],
        "plasticity": [learner.rule.coefficient(n, 0) for n in range(1, len(learner.start) + 1)],
        "mixing": list(learner.feedback.mixing),
    }
    return {name: [_tensor(array).requires_grad_() for array in arrays] for name, arrays in groups.items()}


def outer_loss(
    learner: PlasticLearner,
    parameters: dict[str, list[Tensor]],
    support: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
) -> Tensor:
    """Loss of the query set after the whole stream."""
    stream, targets = support
    regression = isinstance(learner.network.readout, MeanSquaredError)
    features = _encoded(learner, parameters["encoder"], stream.flatten(0, 1)).unflatten(0, stream.shape[:2])
    weights, biases, depth = list(parameters["weights"]), parameters["biases"], len(parameters["weights"])
    for x, y in zip(features, targets, strict=True):
        activity = _forward(weights, biases, x)
        signal = y - activity[-1] if regression else one_hot(y, learner.network.outputs).to(x.dtype)
        changed = []
        for n, weight in enumerate(weights):
            target = activity[n + 1]
            if learner.feedback.paths[n] is not None:
                path = torch.relu(signal @ parameters["paths"][2 * n].T + parameters["paths"][2 * n + 1])
                mixing = parameters["mixing"][n]
                target = mixing * path + (1 - mixing) * target
            elif n == depth - 1:
                target = signal
            oja = target.T @ activity[n] - (target**2).sum(0)[:, None] * weight
            changed.append(weight + learner.rule.gains[n] * parameters["plasticity"][n] * oja)
        weights = changed
    outputs = _forward(weights, biases, _encoded(learner, parameters["encoder"], query[0]))[-1]
    return mse_loss(outputs, query[1]) if regression else cross_entropy(outputs, query[1])


def _forward(weights: list[Tensor], biases: list[Tensor], x: Tensor) -> list[Tensor]:
    activity = [x]
    for n, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
        preactivation = activity[-1] @ weight.T + bias
        activity.append(torch.relu(preactivation) if n < len(weights) else preactivation)
    return activity


def _encoded(learner: PlasticLearner, layers: list[Tensor], x: Tensor) -> Tensor:
    encoder = learner.network.encoder
    if not isinstance(encoder, ConvEncoder):
        return x.flatten(1)
    y = x[:, None]
    for weight, bias, stride in zip(layers[::2], layers[1::2], encoder.strides, strict=True):
        y = torch.relu(conv2d(y, weight, bias, stride))
    # Rows, columns, then channels: the order in which metaplax flattens images.
    return y.permute(0, 2, 3, 1).flatten(1)


def _kernel(weight: Any) -> np.ndarray:
    """The weights of a convolution in PyTorch's layout; matrices are the same."""
    array = np.asarray(weight)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def _tensor(array: Any) -> Tensor:
    found = torch.from_numpy(np.array(array))
    return found.long() if found.dtype == torch.int32 else found
