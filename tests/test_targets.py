"""Inputs and targets that do not fit are refused in a sentence, before anything compiles, by every kind of learner."""

import jax
import jax.numpy as jnp
import optax
import pytest

import metaplax as mp
from every import KEY, LEARNERS, MLP
from metaplax.learners import IncompatibleError, plasticity_optimizer
from metaplax.networks import AbstractReadout, SoftmaxCrossEntropy, SquaredError, Tanh
from metaplax.runs import MemoryRecorder
from metaplax.tasks import AbstractTask, Episode, Examples

EVERY = pytest.mark.parametrize("name", LEARNERS)


class Changed(AbstractTask):
    """Another task, with something wrong in one part of its episodes."""

    task: AbstractTask
    change: object
    part: str

    def sample(self, key):
        episode = self.task.sample(key)
        changed = self.change(getattr(episode, self.part))
        return Episode(changed, episode.query) if self.part == "support" else Episode(episode.support, changed)


class Untouchable(MemoryRecorder):
    """Fails if meta-training gets as far as to compile."""

    def resume(self, start):
        raise AssertionError("too late")


def is_classes(examples) -> bool:
    return jnp.issubdtype(examples.y.dtype, jnp.integer)


CHANGES = {
    "kind": lambda e: Examples(e.x, e.y.astype(jnp.float32) if is_classes(e) else e.y.astype(jnp.int32)),
    "rank": lambda e: Examples(e.x, e.y[..., None] if is_classes(e) else e.y[..., 0]),
    "size": lambda e: Examples(e.x, jnp.concatenate([e.y, e.y], axis=-1)),
    "length": lambda e: Examples(e.x, e.y[:1]),
    "one-hot": lambda e: Examples(e.x, jax.nn.one_hot(jnp.zeros(e.y.shape, jnp.int32), 3)),
    "inputs": lambda e: Examples(e.x[..., :-1], e.y),
    "not examples": lambda e: e.x,
}


@EVERY
@pytest.mark.parametrize("part", ["support", "query"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_refused_before_compilation(name, part, change):
    case = LEARNERS[name]
    task = Changed(case.task, CHANGES[change], part)
    with pytest.raises(IncompatibleError) as raised:
        mp.meta_train(case.make(), task, mp.estimators.Reverse(), optax.sgd(0.1), 1, key=KEY, recorder=Untouchable())
    assert "\n" not in str(raised.value)


class Hinge(AbstractReadout):
    """A readout of one's own, whose targets are signs of one output each."""

    def error(self, output, target):
        return jnp.where(output * target < 1, -target, 0.0)

    def loss(self, logits, target):
        return jnp.mean(jnp.maximum(0, 1 - logits * target))


class Broadcasting(Hinge):
    """A readout that takes one number for all outputs, and gives a loss for each output."""

    def target_shape(self, outputs):
        return (1,)

    def loss(self, logits, target):
        return jnp.mean(jnp.maximum(0, 1 - logits * target), axis=0)


def online(readout) -> mp.PlasticLearner:
    return mp.OnlinePlasticity(mp.MLP((3, 4, 3), Tanh(), readout), mp.rules.gradient())


def part(*shape, dtype=float):
    return Examples(jnp.zeros((6, 3)), jnp.zeros(shape, dtype))


def test_online_plasticity_asks_its_readout():
    numbers, classes = part(6, 3, dtype=jnp.float32), part(6, dtype=jnp.int32)
    online(SquaredError()).check(Episode(numbers, numbers))
    online(SoftmaxCrossEntropy()).check(Episode(classes, classes))
    with pytest.raises(IncompatibleError, match="SquaredError takes floating-point targets"):
        online(SquaredError()).check(Episode(classes, classes))
    with pytest.raises(IncompatibleError, match="SoftmaxCrossEntropy takes classes"):
        online(SoftmaxCrossEntropy()).check(Episode(numbers, numbers))


def test_a_single_output_says_how_to_reshape():
    learner = mp.OnlinePlasticity(mp.MLP((3, 1), Tanh(), SquaredError()), mp.rules.gradient())
    flat = part(6, dtype=jnp.float32)
    with pytest.raises(IncompatibleError, match=r"reshape them to \(6, 1\)"):
        learner.check(Episode(flat, flat))


def test_readouts_of_ones_own_are_tried_too():
    fits = part(6, 3, dtype=jnp.float32)
    online(Hinge()).check(Episode(fits, fits))
    flat, single = part(6, dtype=jnp.float32), part(6, 1, dtype=jnp.float32)
    with pytest.raises(IncompatibleError, match="Hinge takes floating-point targets"):
        online(Hinge()).check(Episode(flat, flat))
    with pytest.raises(IncompatibleError, match="its loss"):
        online(Broadcasting()).check(Episode(single, single))


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (jnp.array([0.0, 1.0, 0.0]), "takes classes"),
        (jnp.array([1]), "takes classes"),
        (3, "the class is 3, but the network has outputs for 0 to 2"),
        (-1, "the class is -1"),
        (jnp.float32(1.0), "takes classes"),
    ],
)
def test_plasticity_optimizers_refuse_wrong_targets(target, sentence):
    optimizer = plasticity_optimizer(MLP, mp.rules.f_bio())
    weights = MLP.init(KEY)
    state = optimizer.init(weights, KEY)
    with pytest.raises(IncompatibleError, match=sentence):
        optimizer.update(jnp.ones(3), target, state, weights)


def test_plasticity_optimizers_learn_numbers_where_the_readout_takes_them():
    network = mp.MLP((3, 4, 2), Tanh(), SquaredError())
    optimizer = plasticity_optimizer(network, mp.rules.gradient(), mp.feedback.Symmetric())
    weights = network.init(KEY)
    state = optimizer.init(weights, KEY)
    updates, _ = jax.jit(optimizer.update)(jnp.ones(3), jnp.array([1.0, -1.0]), state, weights)
    slopes = jax.grad(
        lambda w: SquaredError().loss(network.forward(w, jnp.ones(3)).logits[None], jnp.array([[1.0, -1.0]]))
    )
    for update, slope in zip(updates, slopes(weights), strict=True):
        assert jnp.allclose(update, -1e-3 * slope, atol=1e-7)
