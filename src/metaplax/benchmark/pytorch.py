"""The same episode and the same exact gradient as an ordinary eager PyTorch loop, for comparison."""

import time
from dataclasses import dataclass

import jax
import numpy as np

from metaplax.benchmark.case import Case
from metaplax.feedback import Symmetric
from metaplax.networks import Softplus
from metaplax.plasticity import GlobalCoefficients


@dataclass(frozen=True)
class EagerCost:
    """What the PyTorch loop takes, and what it gives.

    Attributes:
        cpu_seconds: processor time per episode, one thread; median.
        wall_seconds: time per episode; median.
        loss: outer loss.
        gradient: with respect to the coefficients.
    """

    cpu_seconds: float
    wall_seconds: float
    loss: float
    gradient: np.ndarray


def eager_pytorch(case: Case, repeats: int = 3, key: jax.Array | None = None) -> EagerCost:
    """Cost of one episode with its exact gradient in eager PyTorch, on the same arrays.

    Args:
        case: what is learned by which rule.
        repeats: episodes that are timed, after one that is not.
        key: of the episode, and of the initial weights.

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch

    torch.set_num_threads(1)
    learner = case.learner()
    task_key, learner_key = jax.random.split(jax.random.key(0) if key is None else key)
    episode = case.task().sample(task_key)
    start = learner.init(jax.random.split(learner_key)[0])
    start, episode = jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), (start, episode))
    activation, coefficients = learner.network.activation, learner.rule.coefficients
    assert isinstance(activation, Softplus)
    assert isinstance(coefficients, GlobalCoefficients)
    backprop = isinstance(learner.feedback, Symmetric)
    names, values = [term.name for term in learner.rule.terms], np.array(coefficients.values)

    def once() -> tuple[float, float, float, np.ndarray]:
        theta = torch.tensor(values, requires_grad=True)
        cpu, wall = time.process_time(), time.perf_counter()
        loss = _episode(dict(zip(names, theta, strict=True)), start, episode, activation.beta, backprop)
        (gradient,) = torch.autograd.grad(loss, theta)
        return time.process_time() - cpu, time.perf_counter() - wall, float(loss.detach()), gradient.numpy()

    *_, loss, gradient = once()
    cpu, wall = np.median([once()[:2] for _ in range(repeats)], axis=0)
    return EagerCost(float(cpu), float(wall), loss, gradient)


def _episode(theta, start, episode, beta: float, backprop: bool):
    """Outer loss after one pass over the support set."""
    from torch.nn.functional import cross_entropy, softplus

    weights = list(start.weights)
    for x, target in zip(episode.support.x, episode.support.y, strict=True):
        feedback = weights if backprop else start.feedback
        weights = _step(theta, weights, feedback, x, int(target), beta)
    y = episode.query.x
    for weight in weights[:-1]:
        y = softplus(y @ weight.T, beta)
    return cross_entropy(y @ weights[-1].T, episode.query.y.long())


def _step(theta, weights, feedback, x, target, beta: float):
    """Weights after one example, every layer changed by its rank-one factors."""
    import torch
    from torch.nn.functional import softplus

    y, z = [x], []
    for weight in weights:
        z.append(weight @ y[-1])
        y.append(softplus(z[-1], beta))
    y[-1] = torch.softmax(z[-1], 0)
    output_error = y[-1].clone()
    output_error[target] -= 1
    errors = [output_error]
    for back, below in zip(reversed(feedback), reversed(y[:-1]), strict=True):
        errors.insert(0, (errors[0] @ back) * -torch.expm1(-beta * below))
    changed = []
    for layer, weight in enumerate(weights, start=1):
        post, pre, post_error, pre_error = y[layer], y[layer - 1], errors[layer], errors[layer - 1]
        reconstruction = post @ weight if theta.keys() & {"6", "7", "9"} else None
        by_error, by_post = _factors(theta, post, pre, post_error, pre_error, z[layer - 1], reconstruction)
        new = weight + torch.outer(post_error, by_error)
        if by_post is not None:
            new = new + torch.outer(post, by_post)
        if "4" in theta:
            new = new - theta["4"] * pre_error
        changed.append(new - theta["3"] * weight if "3" in theta else new)
    return changed


def _factors(theta, post, pre, post_error, pre_error, drive, reconstruction):
    """Pre-synaptic factors that go with the post-synaptic error, and with the post-synaptic activity."""
    gate = reconstruction @ pre_error if theta.keys() & {"6", "7"} else None
    by_error = -theta["0"] * pre
    if "2" in theta:
        by_error = by_error - theta["2"] * pre_error
    if "5" in theta:
        by_error = by_error - (theta["5"] * post.sum() + theta["7"] * gate) * pre
    by_post = None
    if "9" in theta:
        by_post = theta["9"] * (pre - reconstruction)
    if "1" in theta:
        by_post = by_post - (theta["1"] + theta["6"] * gate + theta["8"] * (drive @ post_error)) * pre_error
    return by_error, by_post
