"""Trials of a recurrent rate network with a reward-gated eligibility trace in eager PyTorch, with its autograd."""

import jax
import numpy as np
import torch
from torch import Tensor

from benchmarks.cases.base import Run
from benchmarks.cases.reward_gated import RewardGatedMetaStep


def rival(case: RewardGatedMetaStep, steps: int) -> Run:
    """One meta-gradient with respect to the coefficient and the logarithm of the time constant."""
    del steps
    return lambda: gradient(case)


def gradient(case: RewardGatedMetaStep) -> tuple[float, list[float]]:
    """The outer loss, and its derivatives by the coefficient and the logarithm of the time constant of the trace."""
    learner, episode = case.learner(), case.episode()
    init_key, _ = jax.random.split(case.key())
    w_in, w_rec, w_out = (_tensor(weight) for weight in learner.init(init_key).weights)
    theta = torch.tensor(1e-5, dtype=w_in.dtype, requires_grad=True)
    log_tau = torch.tensor(float(np.log(50.0)), dtype=w_in.dtype, requires_grad=True)
    decay, expected = torch.exp(-torch.exp(-log_tau)), torch.zeros(())
    support, query = ((_tensor(part.x), _tensor(part.y)) for part in (episode.support, episode.query))
    for x, y in zip(*support, strict=True):
        outputs, traces = _trial(w_in, w_rec, w_out, x, decay)
        surprise = -_loss(outputs, y) - expected
        expected = expected + surprise / 5.0
        w_in, w_rec = w_in + theta * surprise * traces[0], w_rec + theta * surprise * traces[1]
    losses = [_loss(_trial(w_in, w_rec, w_out, x, None)[0], y) for x, y in zip(*query, strict=True)]
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item(), [theta.grad.item(), log_tau.grad.item()]  # pyright: ignore


def _trial(
    w_in: Tensor, w_rec: Tensor, w_out: Tensor, x: Tensor, decay: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Outputs at every step, and the traces of the synapses at the end; without a decay no traces."""
    potential = rate = torch.zeros(w_rec.shape[0], dtype=x.dtype)
    traces, outputs = (torch.zeros_like(w_in), torch.zeros_like(w_rec)), []
    for now in x:
        before = rate
        potential = potential + (w_in @ now + w_rec @ before - potential) / 10.0
        rate = torch.tanh(potential)
        if decay is not None:
            seen = zip(traces, (now, before), strict=True)
            traces = tuple(decay * trace + torch.outer(rate, pre) for trace, pre in seen)
        outputs.append(w_out @ rate)
    return torch.stack(outputs), traces  # pyright: ignore


def _loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Half the squared error, mean over the last 50 steps."""
    return 0.5 * ((outputs[-50:] - y) ** 2).sum(dim=1).mean()


def _tensor(array) -> Tensor:
    return torch.from_numpy(np.array(array))
