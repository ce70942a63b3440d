"""A meta-training that cannot go on says what is wrong: loss, gradient, ceiling or labels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from every import KEY, LEARNERS, MLP, Drawn
from metaplax.estimators import Checkpointed, Reverse, Truncated
from metaplax.learners import ComplexSynapse, Descent
from metaplax.learners.energy.smooth_roots import with_smooth_roots
from metaplax.networks import EquinoxNetwork, SquaredError
from metaplax.runs import FolderRecorder, RunFolder
from metaplax.tasks import Episode, Examples
from metaplax.training import DivergedError, Rollback


class Shifted(Drawn):
    """Classes that begin with a number that the network has no output for."""

    def sample(self, key):
        episode = super().sample(key)
        return Episode(episode.support, Examples(episode.query.x, episode.query.y + 3))


class RootOfZero(mp.PlasticLearner):
    """A learner whose outer loss is finite and has no derivative."""

    def evaluate(self, state, query):
        loss, metrics = super().evaluate(state, query)
        return loss + jnp.sqrt(0 * loss), metrics


def exploding() -> mp.PlasticLearner:
    learner = LEARNERS["OnlinePlasticity"].make()
    return eqx.tree_at(lambda tree: tree.rule.coefficients.values, learner, jnp.array([0.1, 0.0, 1e9]))


def without_derivative() -> mp.PlasticLearner:
    return RootOfZero(MLP, mp.rules.f_bio())


@pytest.mark.parametrize(
    ("make", "task", "more", "sentence"),
    [
        (exploding, Drawn(outputs=0), {}, "the outer loss is not finite, as episodes explode"),
        (without_derivative, Drawn(outputs=0), {}, "the outer loss is finite, but its gradient is not"),
        (
            LEARNERS["ComplexSynapse"].make,
            Drawn(),
            {"rollback": Rollback(ceiling=1e-3)},
            r"finite, but above the ceiling of 0\.001: raise the ceiling",
        ),
        (LEARNERS["OnlinePlasticity"].make, Shifted(outputs=0), {}, "labels go from 3 to 5, but .* outputs for 0 to 2"),
    ],
    ids=["loss", "gradient", "ceiling", "labels"],
)
def test_the_cause_is_named(make, task, more, sentence):
    with pytest.raises(DivergedError, match=sentence):
        mp.meta_train(make(), task, Reverse(), optax.sgd(0.0), 9, key=KEY, patience=2, **more)


def lost_at(last: int, value: float = jnp.nan) -> optax.GradientTransformation:
    """An optimiser whose update number ``last`` is not finite."""

    def update(updates, taken, params=None):
        return jax.tree.map(lambda leaf: jnp.where(taken == last, value, 0 * leaf), updates), taken + 1

    return optax.GradientTransformation(lambda params: jnp.int32(0), update)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_parameters_that_are_lost_in_the_last_step_are_no_result(value, tmp_path):
    folder = RunFolder.create(tmp_path, "some", {})
    recorder = FolderRecorder(folder, "a", "x")
    sentence = r"parameters are not finite after the last step \(trial 0, 1\); try a smaller meta-learning rate"
    for _ in ("as it runs", "as it is resumed"):
        with folder.writing(), pytest.raises(DivergedError, match=sentence):
            mp.meta_train(
                LEARNERS["OnlinePlasticity"].make(), Drawn(outputs=0), Reverse(), lost_at(2, value), 3, key=KEY,
                trials=2, recorder=recorder,
            )  # fmt: skip
    assert [row["step"] for row in folder.rows()] == [0, 1, 2], "there are no values after the last step"


OPTIMIZERS = {
    "adam": optax.adam(1e-2),
    "adamw": optax.adamw(1e-2),
    "rmsprop": optax.rmsprop(1e-2),
    "adagrad": optax.adagrad(1e-1),
    "lamb": optax.lamb(1e-2),
    "momentum": optax.sgd(1e-1, momentum=0.9, nesterov=True),
    "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.exponential_decay(1e-2, 5, 0.9))),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_inner_optimisers_have_a_derivative_where_gradients_are_zero(name):
    """Inputs that are always zero give weights whose gradient is exactly zero."""
    network = EquinoxNetwork(lambda key: eqx.nn.MLP(3, 2, 4, 1, jax.nn.relu, key=key))
    learner = ComplexSynapse(network, SquaredError(), Descent(OPTIMIZERS[name], 3), 0.0, log_space=False)
    dark = lambda part: Examples(part.x.at[:, 0].set(0.0), part.y)  # noqa: E731
    drawn = Drawn().sample(KEY)
    episode = Episode(dark(drawn.support), dark(drawn.query))
    for estimator in (Reverse(), Checkpointed(), Truncated(2)):
        found = estimator.value_and_grad(learner, episode, KEY)
        loss, gradient = found.loss, found.gradient
        assert np.isfinite(loss)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_smooth_roots_change_no_number_and_no_derivative_elsewhere(name):
    optimizer = OPTIMIZERS[name]
    parameters = {"a": jnp.array([1.0, -2.0]), "b": jnp.ones((2, 2))}
    gradient = jax.tree.map(lambda leaf: 0.3 * leaf, parameters)
    state = optimizer.init(parameters)
    smooth = with_smooth_roots(optimizer.update)

    def total(update):
        return lambda g: sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(update(g, state, parameters)[0]))

    for found, expected in (
        (smooth(gradient, state, parameters), optimizer.update(gradient, state, parameters)),
        (jax.grad(total(smooth))(gradient), jax.grad(total(optimizer.update))(gradient)),
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, expected)


def test_inputs_that_a_softplus_cannot_give_are_named():
    drawn = jax.random.normal(KEY, (40, 4))
    tasks = mp.tasks.from_arrays(np.asarray(3 * drawn), np.arange(40) % 2, support=20, query=10)
    learner = mp.OnlinePlasticity(mp.MLP((4, 6, 2)), mp.rules.f_bio())
    with pytest.raises(DivergedError, match=r"inputs down to -\d.*give inputs that are not negative"):
        mp.meta_train(learner, tasks, Reverse(), optax.adam(1e-3), 12, key=KEY)
    tame = mp.OnlinePlasticity(mp.MLP((4, 6, 2), mp.networks.Tanh()), mp.rules.f_bio())
    assert tame.why_exploding(tasks.sample(KEY)) is None
