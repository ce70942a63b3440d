"""One online episode and its exact meta-gradient as an ordinary eager PyTorch loop.

In two forms: with the terms added up as the equations read, each an outer product of its own; and with terms that
share their post-synaptic factor merged before they are multiplied out, as metaplax does.
"""

import time
from dataclasses import dataclass

import jax
import numpy as np
import torch
from torch.nn.functional import cross_entropy, softplus

from metaplax.cli.bench import Case
from metaplax.feedback import Symmetric
from metaplax.networks import Softplus
from metaplax.plasticity import GlobalCoefficients


@dataclass(frozen=True)
class EagerCost:
    """Cost and results of the PyTorch loop.

    Attributes:
        cpu_seconds: processor time per episode, one thread; median.
        wall_seconds: time per episode; median.
        loss: outer loss.
        gradient: derivative with respect to the coefficients.
    """

    cpu_seconds: float
    wall_seconds: float
    loss: float
    gradient: np.ndarray


def eager_episode(case: Case, merged: bool = False, repeats: int = 5, key: jax.Array | None = None) -> EagerCost:
    """Cost of one episode with its exact gradient in eager PyTorch, on the same arrays.

    Args:
        case: what is learned by which rule.
        merged: merge outer products that share their post-synaptic factor.
        repeats: episodes that are timed, after one that is not.
        key: random key for the episode and the initial weights.
    """
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
        loss = _episode(dict(zip(names, theta, strict=True)), start, episode, activation.beta, backprop, merged)
        (gradient,) = torch.autograd.grad(loss, theta)
        return time.process_time() - cpu, time.perf_counter() - wall, float(loss.detach()), gradient.numpy()

    *_, loss, gradient = once()
    cpu, wall = np.median([once()[:2] for _ in range(repeats)], axis=0)
    return EagerCost(float(cpu), float(wall), loss, gradient)


def _episode(theta, start, episode, beta: float, backprop: bool, merged: bool):
    """Outer loss after one pass over the support set."""
    weights = list(start.weights)
    for x, target in zip(episode.support.x, episode.support.y, strict=True):
        feedback = weights if backprop else start.feedback
        weights = _step(theta, weights, feedback, x, int(target), beta, merged)
    y = episode.query.x
    for weight in weights[:-1]:
        y = softplus(y @ weight.T, beta)
    return cross_entropy(y @ weights[-1].T, episode.query.y.long())


def _step(theta, weights, feedback, x, target: int, beta: float, merged: bool):
    """Weights after one example."""
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
    add = _merged if merged else _one_by_one
    return [
        add(theta, weight, _outer_products(theta.keys(), y[n + 1], y[n], errors[n + 1], errors[n], z[n], weight))
        for n, weight in enumerate(weights)
    ]


def _outer_products(names, post, pre, post_error, pre_error, preactivation, weight):
    """Post- and pre-synaptic factor of every term but the decay, with its sign (Eqs. 14-23)."""
    reconstruction = post @ weight if names & {"6", "7", "9"} else 0.0 * pre
    gate = reconstruction @ pre_error if names & {"6", "7"} else 0.0
    factors = {
        "0": lambda: (post_error, -pre),
        "1": lambda: (post, -pre_error),
        "2": lambda: (post_error, -pre_error),
        "4": lambda: (post.new_ones(()).expand_as(post), -pre_error),
        "5": lambda: (post_error, -post.sum() * pre),
        "6": lambda: (post, -gate * pre_error),
        "7": lambda: (post_error, -gate * pre),
        "8": lambda: (post, -(preactivation @ post_error) * pre_error),
        "9": lambda: (post, pre - reconstruction),
    }
    return {name: factors[name]() for name in names if name != "3"}


def _one_by_one(theta, weight, products):
    new = weight - theta["3"] * weight if "3" in theta else weight
    for name, (post, pre) in products.items():
        new = new + theta[name] * torch.outer(post, pre)
    return new


def _merged(theta, weight, products):
    new = weight - theta["3"] * weight if "3" in theta else weight
    by_post = {}
    for name, (post, pre) in products.items():
        by_post.setdefault(id(post), [post, 0.0])[1] += theta[name] * pre
    for post, pre in by_post.values():
        new = new + torch.outer(post, pre)
    return new
