"""A local rule as the direction of descent: equal to the gradient where it should be, linearised, and contrasted."""

import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import metaplax as mp
from metaplax.estimators import ConjugateGradient, Contrastive, ImplicitDirect, Neumann, Reverse
from metaplax.feedback import (
    ChainAndDirect,
    Delayed,
    Direct,
    KolenPollack,
    Learned,
    Noisy,
    PlasticFeedback,
    RandomFixed,
    Symmetric,
)
from metaplax.learners import (
    ComplexSynapse,
    Descent,
    EProp,
    IncompatibleError,
    LocalRule,
    MetaRegularised,
    SpikingLearner,
    join,
    split,
)
from metaplax.networks import (
    LIF,
    MLP,
    Conv,
    Dense,
    EquinoxNetwork,
    LeakyReadout,
    PlasticFunction,
    Recurrent,
    RecurrentLIF,
    Sequential,
    SoftmaxCrossEntropy,
    SquaredError,
    Tanh,
    Triangular,
)
from metaplax.plasticity import BCM, Eligibility, ErrorHebb, Hebb, Oja, PseudoGradient, Rule, Traced, shared
from metaplax.tasks import Episode, Examples

KEY = jax.random.key(2)
GRADIENT = Rule((PseudoGradient(),), shared([1.0]))
NETWORK = MLP((4, 3, 2), Tanh(), SquaredError(), bias=True)
RATES = Sequential(Recurrent(4, 3), Dense(3, 2), readout=SquaredError())
DESCENT = Descent(optax.sgd(0.1), 3)
SETTLED = Descent(optax.sgd(0.15), 1500)
STATIC = {
    "MLP": NETWORK,
    "few synapses": Sequential(
        Dense(4, 6, Tanh(), constraint=mp.constraints.Sparse(0.5)), Dense(6, 2), readout=SquaredError()
    ),
    "convolutional": Sequential(Conv((4, 4, 2), 3, bias=True), Dense((2, 2, 3), 2, bias=True), readout=SquaredError()),
}


def episode(network=NETWORK, count: int = 6, time: tuple[int, ...] = ()) -> Episode:
    """Random inputs and targets, which for sequences are there at every step."""
    shape = network.populations[0].shape

    def part(key):
        x_key, y_key = jax.random.split(key)
        return Examples(jax.random.normal(x_key, (count, *time, *shape)), jax.random.normal(y_key, (count, *time, 2)))

    return Episode(*map(part, jax.random.split(KEY)))


def learner(rule=GRADIENT, feedback=None, network=NETWORK, minimiser=DESCENT, strength=0.5, **more) -> ComplexSynapse:
    direction = LocalRule(rule, Symmetric() if feedback is None else feedback)
    return ComplexSynapse(network, minimiser, strength=strength, direction=direction, **more)


def close(found, expected, rtol=1e-9):
    found, expected = ravel_pytree(found)[0], ravel_pytree(expected)[0]
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", STATIC)
def test_the_gradient_term_with_symmetric_feedback_is_the_gradient(name):
    network = STATIC[name]
    task = episode(network)
    local, exact = learner(network=network, key=KEY), ComplexSynapse(network, DESCENT, strength=0.5, key=KEY)
    weights = jax.tree.map(lambda w: w + 0.1 * w**2, local.omega)
    for query in ((), (task.query, 0.3), (task.query, -2.0)):
        found, _ = local.direction(weights, local.begin(KEY)[1], task.support, *query)
        close(found, exact.direction(weights, (), task.support, *query)[0])
    assert exact.descends_gradient
    assert not local.descends_gradient


@pytest.mark.usefixtures("x64")
def test_the_direction_is_the_mean_of_what_the_plastic_learner_does():
    rule, feedback = Rule((Traced(PseudoGradient(), pre=5.0), Hebb()), shared([0.3, -0.1])), RandomFixed()
    task = episode(RATES, time=(7,))
    local = learner(rule, feedback, PlasticFunction(RATES, scored=4))
    fast, pathway = local.begin(KEY)
    found, _ = local.local_direction(fast, pathway, task.support, inner=True)
    plastic = mp.PlasticLearner(RATES, rule, feedback, start=fast, scored=4)
    state = eqx.tree_at(lambda state: state.feedback, plastic.init(KEY), pathway.weights)
    after = jax.vmap(lambda example: plastic.update(state, example, KEY).weights)(task.support)
    close(found, jax.tree.map(lambda w, a: w - jnp.mean(a, 0), fast, after))


@pytest.mark.usefixtures("x64")
def test_the_loss_of_a_sequence_is_the_sum_over_its_steps():
    task, local = episode(RATES, time=(7,)), learner(network=PlasticFunction(RATES, scored=3))
    local.check(jax.eval_shape(lambda: task))
    outputs = jax.vmap(lambda x: RATES(local.omega, x))(task.query.x)[:, -3:]
    expected = 0.5 * jnp.sum((outputs - task.query.y[:, -3:]) ** 2) / 6
    loss, metrics = local.evaluate(local.init(KEY), task.query)
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    assert float(metrics["squared_error"]) == pytest.approx(2 * float(expected) / 3, rel=1e-12)
    assert float(local.outer_loss(local.omega, (), task.query, False)[0]) == pytest.approx(float(loss), rel=1e-12)


def pool() -> Rule:
    return Rule((PseudoGradient(), ErrorHebb(), Oja()), shared([1.0, 0.2, 0.1]))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("feedback", [Learned, ChainAndDirect, RandomFixed])
def test_implicit_estimators_linearise_the_rule(feedback):
    """All meta-parameters, those of the rule and the pathway too, against central differences of the whole episode."""
    local, task = learner(pool(), feedback(), minimiser=SETTLED, strength=1.0), episode()
    parameters, constants = split(local)
    flat, unravel = ravel_pytree(parameters)
    loss = jax.jit(lambda flat: join(unravel(flat), constants).run(task, KEY)[0])
    direction, step = jax.random.normal(KEY, flat.shape), 1e-5
    slope = float(loss(flat + step * direction) - loss(flat - step * direction)) / (2 * step)
    for estimator in (ImplicitDirect(), ConjugateGradient(100), Neumann(0.3, 500)):
        gradient = jax.jit(lambda task, it=estimator: it.value_and_grad(local, task, KEY).gradient)(task)
        assert float(ravel_pytree(gradient)[0] @ direction) == pytest.approx(slope, rel=1e-5)
        of_rule = gradient.local_rule.rule.coefficients.values
        assert np.all(np.abs(of_rule) > 0)
        assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient.local_rule.feedback))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("variant", "tolerance"), [("forward", 3e-3), ("symmetric", 1e-5), ("second_order", 1e-5)])
def test_contrastive_agrees_for_a_small_nudging(variant, tolerance):
    task, local = episode(), learner(minimiser=SETTLED)
    found, exact = (
        jax.jit(lambda task, it=it: it.value_and_grad(local, task, KEY).gradient)(task)
        for it in (Contrastive(1e-3, variant), ImplicitDirect())
    )
    close(found, exact, tolerance)


@pytest.mark.parametrize(
    "feedback", [Learned(), Noisy(Learned(Direct())), RandomFixed()], ids=["direct", "noisy", "random"]
)
def test_every_part_is_learned_contrastively(feedback):
    gradient = Contrastive(0.1, "symmetric").value_and_grad(learner(pool(), feedback), episode(), KEY).gradient
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in jax.tree.leaves(gradient.omega))
    assert np.all(np.abs(gradient.local_rule.rule.coefficients.values) > 0)
    weights = jax.tree.leaves(gradient.local_rule.feedback)
    # The first matrix would tell the input; nothing listens but the terms that see its error.
    assert all(np.any(leaf) for leaf in weights)
    assert bool(weights) == (not isinstance(feedback, RandomFixed))


def test_frozen_rules_stay_and_fresh_trials_have_their_own_feedback():
    local = learner(pool(), Learned())
    frozen = mp.learners.freeze(local, lambda it: it.local_rule)
    assert local.learns_direction
    assert not frozen.learns_direction
    gradient = Contrastive(0.1).value_and_grad(frozen, episode(), KEY).gradient
    assert not jax.tree.leaves(gradient.local_rule)
    again = local.resample(jax.random.key(9))
    assert not np.array_equal(again.local_rule.feedback.state[1], local.local_rule.feedback.state[1])
    assert np.array_equal(again.local_rule.rule.coefficients.values, local.local_rule.rule.coefficients.values)
    assert {"theta0", "theta2", "theta9"} <= set(local.scalars())
    assert [term.name for term in local.printed()] == ["0", "2", "9"]
    held = learner(pool().hold("9"), Learned())
    assert split(held)[0].local_rule.rule.constants is None or not jax.tree.leaves(
        split(held)[0].local_rule.rule.constants
    )


def test_feedback_is_fixed_within_an_episode_and_noise_is_not():
    task = episode()
    local = learner(GRADIENT, RandomFixed())
    fast, pathway = local.begin(KEY)
    state = local.adapt(local.init(KEY), task.support, KEY)
    for before, after in zip(local.init(KEY).buffers.weights, state.buffers.weights, strict=True):
        np.testing.assert_array_equal(before, after)
    other = local.begin(jax.random.key(5))[1]
    assert not np.array_equal(pathway.weights[1], other.weights[1])
    noisy = learner(GRADIENT, Noisy(RandomFixed()))
    fast, pathway = noisy.begin(KEY)
    first, pathway = noisy.local_direction(fast, pathway, task.support, inner=True)
    second, _ = noisy.local_direction(fast, pathway, task.support, inner=True)
    assert not np.allclose(first[0], second[0])


def test_decays_are_learned_along_a_rule_too():
    local = MetaRegularised(NETWORK, DESCENT, decay=0.1, direction=LocalRule(pool(), Symmetric()), learn_start=True)
    task = episode()
    local.check(jax.eval_shape(lambda: task))
    gradient = Reverse().value_and_grad(local, task, KEY).gradient
    for part in (gradient.decay, gradient.start, gradient.local_rule):
        assert all(np.any(leaf) for leaf in jax.tree.leaves(part))


SPIKES = RecurrentLIF(7, 6, 2, tau_membrane=20.0, tau_readout=9.0, gains=(0.6, 0.5, 0.8))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("adaptation", [0.0, 0.05], ids=["LIF", "ALIF"])
@pytest.mark.parametrize("seed", [None, 3], ids=["symmetric", "random"])
def test_the_spiking_learner_is_a_local_rule(adaptation, seed):
    lif = RecurrentLIF(7, 6, 2, SPIKES.tau_membrane, SPIKES.tau_readout, adaptation=adaptation, gains=SPIKES.gains)
    x = jax.random.bernoulli(KEY, 0.4, (3, 12, 7)).astype(float)
    task = Episode(*(Examples(x, jax.random.normal(KEY, (3, 12, 2))),) * 2)
    descent = Descent(optax.adam(1e-2), 20)
    fast = SpikingLearner(lif, EProp(0.0, random_feedback=seed, modulation=(1.0, 1.0, 1.0)), descent, 0.1, key=KEY)
    network = Sequential(
        LIF(
            7, 6, decay=lif.alpha, adaptation=adaptation, adaptation_decay=lif.rho, surrogate=Triangular(width=0.1),
            delayed=True,
        ),
        LeakyReadout(6, 2, tau=1 / (1 - lif.kappa), leak="sum"),
        readout=SquaredError(),
    )  # fmt: skip
    more = {"adaptation": adaptation, "adaptation_decay": lif.rho}
    # What is summed over the batch there is a mean here.
    rule = mp.rules.eprop(lif.alpha, lif.kappa, **more, coefficient=3.0)
    feedback = Symmetric()
    if seed is not None:
        to_hidden = fast.inner_gradient.feedback(lif, fast.omega)
        feedback = Learned(Direct(), (jnp.zeros((2, 7)), to_hidden))
    general = learner(rule, feedback, network, descent, 0.1, log_space=False, learn_strength=False)
    omega = (fast.omega.input, fast.omega.recurrent, fast.omega.readout)
    general = eqx.tree_at(lambda it: it.omega, general, omega)
    general.check(jax.eval_shape(lambda: task))
    for more in ({}, {"query": task.query, "beta": 0.5}):
        reached = [it.minimise(it.init(KEY), task.support, KEY, **more).fast for it in (general, fast)]
        close(*reached)
        assert np.abs(reached[0][0] - omega[0]).max() > 1e-2


def test_a_pool_in_a_spiking_network_takes_25_lines():
    page = (Path(__file__).resolve().parents[1] / "docs" / "explanations" / "spiking.md").read_text(encoding="utf-8")
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "LocalRule" in code)
    assert len([line for line in block.splitlines() if line.strip()]) <= 25


WAITS = Rule((Eligibility(Hebb()),), shared([1.0]))
DENSE = EquinoxNetwork(lambda key: eqx.nn.MLP(4, 2, 3, 1, key=key))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: learner(Rule((BCM(),), shared([1.0])), network=RATES), "the rule has memory that lasts"),
        (lambda: learner(Rule((Traced(Hebb(), pre=3.0),), shared([1.0]))), "as all memory does in a network without"),
        (lambda: learner(feedback=KolenPollack()), "KolenPollack changes along with the weights"),
        (lambda: learner(feedback=Noisy(PlasticFeedback())), "Noisy changes along with the weights"),
        (lambda: learner(feedback=Symmetric("as_released")), "waits for the weights at the end"),
        (lambda: learner(feedback=Delayed(RandomFixed())), "feedback that arrives later needs a network with time"),
        (
            lambda: ComplexSynapse(DENSE, SquaredError(), DESCENT, direction=LocalRule(GRADIENT)),
            "a local rule needs a plastic network, such as MLP or Sequential, not EquinoxNetwork",
        ),
        (
            lambda: ComplexSynapse(NETWORK, SoftmaxCrossEntropy(), DESCENT, direction=LocalRule(GRADIENT)),
            "leave out the other one, SoftmaxCrossEntropy",
        ),
        (lambda: ComplexSynapse(DENSE, DESCENT), "a readout unless the network is a plastic one"),
        (lambda: ComplexSynapse(NETWORK, DESCENT, DESCENT), "the minimiser comes second"),
        (lambda: PlasticFunction(NETWORK, scored=-1), "must not be -1"),
        (
            lambda: learner(network=Sequential(Dense(4, 2, constraint=mp.constraints.Dale()), readout=SquaredError())),
            "the constraint Dale moves weights after every update",
        ),
    ],
)
def test_what_cannot_be_a_direction(make, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("local", "task", "sentence"),
    [
        (
            learner(Rule((Eligibility(Hebb()),), shared([1.0])), network=RATES),
            episode(RATES, time=(5,)),
            "such as modulators",
        ),
        (learner(Rule((Hebb(),), shared([1.0, 2.0]))), episode(), "coefficients do not fit its 1 terms"),
        (learner(), episode(RATES, time=(5,)), "takes a support set of shape"),
        (learner(), Episode(*(Examples(jnp.zeros((3, 4)), jnp.zeros((3, 5))),) * 2), "takes floating-point targets of"),
    ],
)
def test_tasks_and_rules_that_do_not_fit(local, task, sentence):
    with pytest.raises(IncompatibleError, match=sentence) as caught:
        local.check(jax.eval_shape(lambda: task))
    assert "\n" not in str(caught.value)
