"""Complex synapses, learned regularisation and gain modulation on small networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax.estimators import T1T2, Checkpointed, ConjugateGradient, Contrastive, ImplicitDirect, Neumann, Reverse
from metaplax.learners import ComplexSynapse, Descent, GainModulation, IncompatibleError, MetaRegularised
from metaplax.networks import EquinoxNetwork, SoftmaxCrossEntropy, SquaredError
from metaplax.tasks import Episode, Examples
from small import reversed_loops

KEY = jax.random.key(5)
NETWORK = EquinoxNetwork(lambda key: eqx.nn.MLP(3, 2, 4, 1, jnp.tanh, key=key))
SETTLED = Descent(optax.sgd(0.3), 3000)


def examples(key, count=12) -> Examples:
    x = jax.random.normal(key, (count, 3))
    return Examples(x, jnp.stack([jnp.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1))


@pytest.fixture
def episode(x64) -> Episode:
    del x64
    return Episode(examples(KEY), examples(jax.random.fold_in(KEY, 1)))


def learners(minimiser) -> dict:
    return {
        "regularised": MetaRegularised(NETWORK, SquaredError(), minimiser, 0.05, key=KEY),
        "complex": ComplexSynapse(NETWORK, SquaredError(), minimiser, 0.5, key=KEY),
        "raw": ComplexSynapse(
            NETWORK, SquaredError(), minimiser, 2.0, log_space=False, reduction="mean", factor=1.0, key=KEY
        ),
        "modulated": GainModulation(NETWORK, SquaredError(), minimiser, key=KEY),
    }


KINDS = tuple(learners(SETTLED))


def gradient(estimator, learner, episode) -> np.ndarray:
    found = eqx.filter_jit(estimator.value_and_grad)(learner, episode, KEY).gradient
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])


@pytest.mark.parametrize("kind", KINDS)
def test_unrolled_gradients_equal_finite_differences(episode, kind):
    learner = learners(Descent(optax.adam(0.05), 20, batch=4))[kind]
    found = gradient(Reverse(), learner, episode)
    assert np.allclose(gradient(Checkpointed(), learner, episode), found, rtol=1e-10, atol=1e-14)
    parameters, constants = mp.learners.split(learner)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    outer = jax.jit(lambda flat: mp.learners.join(unravel(flat), constants).run(episode, KEY)[0])
    direction = jax.random.normal(jax.random.fold_in(KEY, 7), flat.shape)
    # Where the weights or the readout start is not meta-learned: that gradient is zero by decree.
    direction = jnp.where(found == 0, 0.0, direction)
    slope = (outer(flat + 1e-6 * direction) - outer(flat - 1e-6 * direction)) / 2e-6
    assert np.allclose(found @ direction, slope, rtol=1e-6)


@pytest.mark.parametrize("kind", ["regularised", "complex", "raw"])
@pytest.mark.parametrize(
    ("estimator", "tolerance"),
    [
        (ImplicitDirect(), 1e-6),
        (ConjugateGradient(200), 1e-6),
        (Neumann(0.3, 3000), 1e-6),
        (Contrastive(1e-4), 1e-3),
        (Contrastive(1e-3, "symmetric"), 1e-3),
        (Contrastive(1e-3, "second_order"), 1e-3),
    ],
    ids=["direct", "cg", "neumann", "forward", "symmetric", "second_order"],
)
def test_all_estimators_agree_where_the_inner_loop_has_settled(episode, kind, estimator, tolerance):
    learner = learners(SETTLED)[kind]
    exact = gradient(Reverse(), learner, episode)
    found = gradient(estimator, learner, episode)
    assert np.linalg.norm(found - exact) < tolerance * np.linalg.norm(exact)


def test_gain_modulation_has_a_direct_term(episode):
    """Slow weights are in the outer loss too: where nothing is learned inside, that is all there is."""
    learner = learners(Descent(optax.sgd(0.0), 1))["modulated"]
    assert np.allclose(gradient(Contrastive(0.1), learner, episode), gradient(Reverse(), learner, episode), rtol=1e-9)
    learner = learners(Descent(optax.sgd(0.1), 10))["modulated"]
    found = eqx.filter_jit(Contrastive(0.1).value_and_grad)(learner, episode, KEY).gradient
    assert not np.any(found.slow.layers[-1].weight), "nothing reaches where the readout starts"
    assert np.any(found.slow.layers[0].weight)


def test_closed_forms_equal_derivatives_of_the_augmented_energy(episode):
    """Zucchet et al. (2022), and the released code: sums of squares, with and without the half."""
    learner = learners(Descent(optax.sgd(0.1), 50))["complex"]
    found = eqx.filter_jit(Contrastive(0.3).value_and_grad)(learner, episode, KEY).gradient
    init_key, free_key = jax.random.split(KEY)
    free = learner.adapt(learner.init(init_key), episode.support, free_key)
    nudged = learner.minimise(free, episode.support, jax.random.fold_in(free_key, 1), query=episode.query, beta=0.3)
    strength = jax.tree.map(jnp.exp, learner.strength)
    omega = jax.tree.map(lambda s, a, b: s / 0.3 * (a - b), strength, free.fast, nudged.fast)
    logs = jax.tree.map(
        lambda s, o, a, b: s / 0.6 * ((b - o) ** 2 - (a - o) ** 2), strength, learner.omega, free.fast, nudged.fast
    )
    for ours, closed in ((found.omega, omega), (found.strength, logs)):
        assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b, rtol=1e-9)), ours, closed)))


@jax.custom_vjp
def once(x):
    """An identity that can be differentiated once, in reverse, and never again."""
    return x


@jax.custom_jvp
def last(cotangent):
    return cotangent


@last.defjvp
def _never(primals, tangents):
    raise AssertionError("a second derivative was taken")


once.defvjp(lambda x: (x, None), lambda _, cotangent: (last(cotangent),))


@pytest.mark.parametrize("variant", ["forward", "symmetric", "second_order"])
def test_the_contrastive_rule_takes_no_second_derivative(episode, variant):
    fragile = EquinoxNetwork(lambda key: eqx.nn.MLP(3, 2, 4, 1, lambda x: once(jnp.tanh(x)), key=key))
    learner = ComplexSynapse(fragile, SquaredError(), Descent(optax.adam(0.01), 5, batch=4), key=KEY)
    parameters, constants = mp.learners.split(learner)

    def program(estimator):
        return jax.make_jaxpr(
            lambda parameters: estimator.value_and_grad(eqx.combine(parameters, constants), episode, KEY).gradient
        )(parameters).jaxpr

    assert reversed_loops(program(Contrastive(0.1, variant))) == 0
    for estimator in (Reverse(), ConjugateGradient(3), T1T2()):
        with pytest.raises(AssertionError, match="a second derivative was taken"):
            program(estimator)
    plain = learners(Descent(optax.adam(0.01), 5, batch=4))["complex"]
    parameters, constants = mp.learners.split(plain)
    assert reversed_loops(program(Reverse())) > 0, "the test sees loops that run backwards"


def test_every_trial_has_a_start_of_its_own():
    learner = learners(SETTLED)["regularised"]
    first, second = (learner.resample(jax.random.key(k)).start.layers[0].weight for k in (1, 2))
    assert np.all(first != second)
    constant = mp.learners.freeze(learner, lambda tree: tree.start)
    kept = constant.resample(jax.random.key(1)).start
    jax.tree.map(np.testing.assert_array_equal, kept, learner.start)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ComplexSynapse(NETWORK, SquaredError(), SETTLED, 0.0), "has no logarithm"),
        (
            lambda: GainModulation(EquinoxNetwork(lambda key: eqx.nn.Linear(3, 2, key=key)), SquaredError(), SETTLED),
            "at least two layers",
        ),
        (lambda: Contrastive(0.0), "must be a positive number"),
        (lambda: Neumann(0.0), "positive rate"),
        (lambda: ConjugateGradient(0), "at least 1 step"),
    ],
)
def test_what_makes_no_sense_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_learners_and_estimators_that_do_not_fit(episode):
    learner = learners(SETTLED)["complex"]
    narrow = Episode(*(Examples(part.x[:, :2], part.y) for part in (episode.support, episode.query)))
    with pytest.raises(IncompatibleError, match="does not take inputs of shape"):
        learner.check(jax.eval_shape(lambda: narrow))
    with pytest.raises(IncompatibleError, match="5 classes, but the network 2 outputs"):
        learners(SETTLED)["complex"].check(jax.eval_shape(lambda: episode), 5)
    with pytest.raises(IncompatibleError, match="takes 13 examples per step, but the support set has only 12"):
        learners(Descent(optax.sgd(0.1), 1, batch=13))["raw"].check(jax.eval_shape(lambda: episode))
    online = mp.OnlinePlasticity(mp.MLP((3, 4, 2)), mp.rules.gradient(), mp.feedback.RandomFixed())
    for estimator in (Contrastive(1.0), T1T2()):
        with pytest.raises(IncompatibleError, match="PlasticLearner minimises no energy"):
            estimator.check(online)


def test_classes_too():
    data = Examples(jax.random.normal(KEY, (8, 3)), jnp.arange(8) % 2)
    learner = MetaRegularised(NETWORK, SoftmaxCrossEntropy(), Descent(optax.adam(0.1), 100), 1e-3, key=KEY)
    loss, metrics = learner.run(Episode(data, data), KEY)
    assert metrics["accuracy"] == 1
    assert loss < 0.1
