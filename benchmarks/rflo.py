"""The gradient of a leaky rate network with its recurrent paths cut: here, and in braintrace.

Not a rival of `python -m benchmarks`, because braintrace needs an environment of its own:

    pip install jax==0.10.2 braintrace==0.2.6
    python benchmarks/rflo.py braintrace        # there
    python benchmarks/rflo.py metaplax          # here

Both print CPU milliseconds per gradient of a batch of 10 sequences of 20 steps (100-100-1), median of 30 runs, and the
largest relative distance of their input and recurrent gradient from the formula of Murray (2019), computed by NumPy.
"""

import sys
import time
from collections.abc import Callable
from math import log

import jax
import jax.numpy as jnp
import numpy as np

INPUTS, NEURONS, OUTPUTS, STEPS, BATCH, TAU = 100, 100, 1, 20, 10, 10.0


def problem() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights without synapses of a neuron onto itself, inputs and targets; time comes first."""
    draw = np.random.default_rng(0).normal
    shapes = (NEURONS, INPUTS), (NEURONS, NEURONS), (OUTPUTS, NEURONS)
    w_in, w_rec, w_out = (draw(size=shape).astype(np.float32) * 0.1 for shape in shapes)
    x, y = (draw(size=(STEPS, BATCH, size)).astype(np.float32) for size in (INPUTS, OUTPUTS))
    return [w_in, w_rec * (1 - np.eye(NEURONS, dtype=np.float32)), w_out], x, y


def formula() -> np.ndarray:
    """The gradient of the inputs' and the recurrent weights, one below the other."""
    (w_in, w_rec, w_out), x, y = problem()
    rate, trace, found = np.zeros((BATCH, NEURONS)), np.zeros((BATCH, INPUTS + NEURONS, NEURONS)), 0.0
    for now, target in zip(x, y, strict=True):
        seen = np.concatenate([now, rate], axis=1)
        activity = np.tanh(seen @ np.concatenate([w_in, w_rec], axis=1).T)
        rate = rate + (activity - rate) / TAU
        trace = (1 - 1 / TAU) * trace + seen[:, :, None] * ((1 - activity**2) / TAU)[:, None]
        found = found + np.einsum("bij,bj->ij", trace, (rate @ w_out.T - target) @ w_out / BATCH)
    return np.asarray(found)


def metaplax() -> tuple[Callable, Callable]:
    """A run, and how its result becomes the gradient."""
    import equinox as eqx

    import metaplax as mp
    from metaplax.networks import Dense, Recurrent, Sequential, SquaredError
    from metaplax.plasticity import Eligibility, PseudoGradient, Rule, Sensitivity, shared

    network = Sequential(
        Recurrent(INPUTS, NEURONS, tau=TAU, leak="activity"), Dense(NEURONS, OUTPUTS), readout=SquaredError()
    )
    local = Eligibility(Sensitivity(), -1 / log(1 - 1 / TAU), "post_signal")
    where = ((False, True), (False, True), (True, False))
    rule = Rule((PseudoGradient(), local), shared([1.0, 1 / TAU]), where)
    learner, key = mp.PlasticLearner(network, rule, mp.feedback.Symmetric(), minibatch=True), jax.random.key(0)
    weights, x, y = problem()
    state = eqx.tree_at(lambda state: state.weights, learner.init(key), tuple(map(jnp.asarray, weights)))
    examples = mp.tasks.Examples(jnp.swapaxes(x, 0, 1), jnp.swapaxes(y, 0, 1))

    @jax.jit
    def gradient(state, examples):
        updates = learner.updates(state, examples, key).weights
        pairs = zip(updates, state.weights, strict=True)
        return [-sum(update.dense(weight) for update in each) / BATCH for each, weight in pairs]

    return lambda: gradient(state, examples), lambda found: np.concatenate([found[0].T, found[1].T])


def braintrace() -> tuple[Callable, Callable]:
    """The same for ``D_RTRL``, one step of time after the other in its own compiled scan."""
    import brainstate  # pyright: ignore
    import braintrace  # pyright: ignore

    (w_in, w_rec, w_out), x, y = problem()

    class Network(brainstate.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = brainstate.ParamState(jnp.concatenate([w_in.T, w_rec.T]))

        def init_state(self, batch_size=None, **_):
            self.rate = brainstate.HiddenState(jnp.zeros((batch_size, NEURONS)))

        def update(self, x):
            current = braintrace.matmul(jnp.concatenate([x, self.rate.value], -1), self.w.value)
            self.rate.value = self.rate.value + (jnp.tanh(current) - self.rate.value) / TAU
            return self.rate.value @ w_out.T

    model = Network()
    learner = braintrace.compile(model, braintrace.D_RTRL, jnp.asarray(x[0]), batch_size=BATCH)
    weights = model.states(brainstate.ParamState)

    def step(total, now):
        loss = lambda: 0.5 * jnp.mean(jnp.sum((learner.update(now[0]) - now[1]) ** 2, -1))  # noqa: E731
        return total + brainstate.transform.grad(loss, weights)()[("w",)], None

    @brainstate.transform.jit
    def gradient(x, y):
        brainstate.nn.init_all_states(model, batch_size=BATCH)
        learner.reset_state(batch_size=BATCH)
        return brainstate.transform.scan(step, jnp.zeros((INPUTS + NEURONS, NEURONS)), (x, y))[0]

    return lambda: gradient(jnp.asarray(x), jnp.asarray(y)), np.asarray


def main(name: str) -> None:
    """Time one of the two, and compare it with the formula."""
    run, as_gradient = {"metaplax": metaplax, "braintrace": braintrace}[name]()
    found, spent = jax.block_until_ready(run()), []
    for _ in range(30):
        start = time.process_time()
        jax.block_until_ready(run())
        spent.append(time.process_time() - start)
    expected = formula()
    distance = np.max(np.abs(as_gradient(found) - expected)) / np.max(np.abs(expected))
    print(f"{name}: {1e3 * np.median(spent):.2f} CPU-ms, relative distance from the formula {distance:.1e}")


if __name__ == "__main__":
    main(sys.argv[1])
