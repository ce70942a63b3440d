"""Learners of streams: what they refuse, gradients against finite differences, what frozen, shared and bound mean."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import metaplax as mp
from metaplax.experiments.lindsey2020.error_feedback import ErrorFeedback
from metaplax.feedback import LearnedPath
from metaplax.learners import FeedbackPlasticity, IncompatibleError, OnlineGradient, PlasticLearner, join, split
from metaplax.networks import (
    ConvEncoder,
    DenseEncoder,
    Encoded,
    EncoderMLP,
    MeanSquaredError,
    NoEncoder,
    SoftmaxCrossEntropy,
)
from metaplax.networks._kernels import _native, _of_slices
from metaplax.optim import per_field
from metaplax.tasks import Episode, Examples, Sinusoids

KEY = jax.random.key(3)
REGRESSION = EncoderMLP(DenseEncoder((4, 6)), (5, 1), MeanSquaredError())
PLASTIC_ONLY = EncoderMLP(NoEncoder((4,)), (6, 5, 1), MeanSquaredError())
CLASSES = EncoderMLP(DenseEncoder((4, 6)), (5, 3), SoftmaxCrossEntropy())
TASK = Sinusoids(3, 4, 2, 3)
FLP = {"plasticity": 0.01, "mixing": 0.6, "hidden_multiplier": 0.5}


def episode(network=REGRESSION, seed=0, steps=6, batch=2, queries=5):
    g = np.random.default_rng(seed)
    dtype = jnp.result_type(float)
    draw = lambda *shape: jnp.asarray(g.normal(size=(*shape, *network.encoder.shape)), dtype)  # noqa: E731
    if isinstance(network.readout, SoftmaxCrossEntropy):
        target = lambda *shape: jnp.asarray(g.integers(0, network.outputs, shape), jnp.int32)  # noqa: E731
    else:
        target = lambda *shape: jnp.asarray(g.normal(size=(*shape, network.outputs)), dtype)  # noqa: E731
    return Episode(Examples(draw(steps, batch), target(steps, batch)), Examples(draw(queries), target(queries)))


LEARNERS = {
    "oja": lambda: FeedbackPlasticity(REGRESSION, KEY, signal="error", output_path="drawn", **FLP),
    "oja, bound reached": lambda: FeedbackPlasticity(
        REGRESSION, KEY, signal="error", output_path="identity", plasticity=0.3, bound=0.05
    ),
    "oja, both bounds reached": lambda: FeedbackPlasticity(
        REGRESSION, KEY, signal="error", plasticity=0.3, bound=0.05, response_bound=0.2
    ),
    "hebb, linear, per neuron": lambda: FeedbackPlasticity(
        REGRESSION, KEY, signal="error", rule="hebb", linear_paths=True, sharing="neuron", **FLP
    ),
    "one for all": lambda: FeedbackPlasticity(PLASTIC_ONLY, KEY, signal="target", sharing="global", **FLP),
    "per layer, deep paths": lambda: FeedbackPlasticity(
        PLASTIC_ONLY, KEY, sharing="layer", path_widths=(4,), hidden_plasticity=0.02, **FLP
    ),
    "classes": lambda: FeedbackPlasticity(CLASSES, KEY, **FLP),
    "oml": lambda: OnlineGradient(REGRESSION, KEY, rate=0.1),
    "maml": lambda: OnlineGradient(CLASSES, KEY, rate=0.1, adapted="all"),
    "meta-sgd": lambda: OnlineGradient(CLASSES, KEY, rate=0.1, rates="synapse"),
    "one rate": lambda: OnlineGradient(CLASSES, KEY, rate=0.1, rates="global"),
    "rate per layer": lambda: OnlineGradient(CLASSES, KEY, rate=0.1, rates="layer", adapted="readout"),
    "a fresh start": lambda: FeedbackPlasticity(CLASSES, KEY, fresh_start=True, **FLP),
    "feedback alignment": lambda: ErrorFeedback(REGRESSION, KEY, pathway="random"),
    "fresh readout": lambda: OnlineGradient(CLASSES, KEY, rate=0.1, fresh_readout=True),
}


def of(learner):
    """The network that a learner of ``LEARNERS`` was made of."""
    return next(
        it
        for it in (REGRESSION, PLASTIC_ONLY, CLASSES)
        if it.encoder == learner.network.encoder and it.readout == learner.network.readout
    )


def finite_differences(learner, given, key, directions=6, step=1e-6):
    """Slopes of the outer loss along random directions, and these."""
    parameters, constants = split(learner)
    flat, unravel = ravel_pytree(parameters)
    loss = jax.jit(lambda flat: eqx.combine(unravel(flat), constants).run(given, key)[0])
    along = np.random.default_rng(1).normal(size=(directions, len(flat)))
    return along, np.array([(loss(flat + step * d) - loss(flat - step * d)) / (2 * step) for d in along])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", LEARNERS)
def test_meta_gradient_is_that_of_finite_differences(name):
    learner = LEARNERS[name]()
    if isinstance(learner, PlasticLearner):
        # The largest plasticity of a neuron has no derivative where several are the largest.
        g = np.random.default_rng(5)
        where = lambda it: it.rule.coefficients  # noqa: E731
        varied = jax.tree.map(lambda a: a * jnp.asarray(g.uniform(0.8, 1.2, a.shape), a.dtype), where(learner))
        learner = eqx.tree_at(where, learner, varied)
    given = episode(of(learner))
    along, expected = finite_differences(learner, given, KEY)
    assert np.abs(expected).max() > 1e-4
    gradient = jax.jit(lambda e: mp.estimators.Checkpointed(2).value_and_grad(learner, e, KEY).gradient)(given)
    np.testing.assert_allclose(along @ ravel_pytree(gradient)[0], expected, rtol=2e-5, atol=1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sharing", ["global", "layer", "neuron", "synapse"])
def test_local_updates_of_batches_can_be_undone(sharing):
    learner = FeedbackPlasticity(PLASTIC_ONLY, KEY, signal="error", output_path="drawn", sharing=sharing, **FLP)
    given = episode(PLASTIC_ONLY)
    exact, undone = (
        jax.jit(lambda e, estimator=estimator: estimator.value_and_grad(learner, e, KEY))(given)
        for estimator in (mp.estimators.Reverse(), mp.estimators.Reversible(4))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12), exact, undone)


def test_features_that_are_not_learned_do_not_stand_in_the_way_of_undoing():
    learner = LEARNERS["classes"]()
    frozen = mp.learners.freeze(learner, lambda it: it.network.weights)
    given, key = episode(CLASSES), KEY
    estimators = mp.estimators.Reverse(), mp.estimators.Reversible()
    exact, undone = (estimator.value_and_grad(frozen, given, key) for estimator in estimators)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), exact, undone)


def test_learned_features_cannot_be_undone_and_that_is_said():
    learner = LEARNERS["classes"]()
    with pytest.warns(mp.estimators.FallbackWarning, match="what the inner loop sees .* depends on meta-parameters"):
        mp.estimators.Reversible().value_and_grad(learner, episode(CLASSES), KEY)


@pytest.mark.usefixtures("x64")
def test_first_order_counts_the_inner_gradient_as_given():
    given = episode(CLASSES, steps=1)
    first, exact = (OnlineGradient(CLASSES, KEY, rate=0.5, adapted="all", first_order=f) for f in (True, False))
    found = mp.estimators.Reverse().value_and_grad(first, given, KEY).gradient.start
    start = first.init(KEY)
    adapted = first.adapt(start, given.support, KEY)
    expected = jax.grad(lambda weights: CLASSES.readout.loss(CLASSES(weights, given.query.x), given.query.y))(
        first.weights(adapted)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)
    second = mp.estimators.Reverse().value_and_grad(exact, given, KEY).gradient.start
    assert np.abs(ravel_pytree(second)[0] - ravel_pytree(found)[0]).max() > 1e-4


@pytest.mark.usefixtures("x64")
def test_alignment_equals_backprop_when_the_feedback_is_the_transpose():
    given = episode(CLASSES)
    plain = OnlineGradient(CLASSES, KEY, rate=0.1)
    first = jax.tree.map(lambda leaf: leaf[0], plain.precompute(given.support))
    expected = plain.update(plain.init(KEY), first, KEY).fast
    start = tuple(jnp.concatenate([layer.weight, layer.bias[:, None]], axis=1) for layer in plain.start.layers)
    # Errors are summed over the minibatch, and the loss is a mean.
    aligned, symmetric = (
        eqx.tree_at(lambda it: it.start, ErrorFeedback(CLASSES, KEY, pathway=pathway, rate=0.05), start)
        for pathway in ("random", "symmetric")
    )
    state = aligned.init(jax.random.key(8))
    transposed = eqx.tree_at(lambda s: s.feedback, state, start)
    for learner, before in ((aligned, transposed), (symmetric, symmetric.init(KEY))):
        for weights, layer in zip(learner.update(before, first, KEY).weights, expected, strict=True):
            np.testing.assert_allclose(weights[:, :-1], layer.weight, rtol=1e-10)
            np.testing.assert_allclose(weights[:, -1], layer.bias, rtol=1e-10, atol=1e-14)
    random = aligned.update(state, first, KEY)
    assert np.abs(random.weights[0][:, :-1] - expected[0].weight).max() > 1e-5


@pytest.mark.usefixtures("x64")
def test_oja_is_what_a_loop_over_synapses_gives():
    learner = LEARNERS["oja"]()
    given = episode()
    state = learner.init(KEY)
    example = jax.tree.map(lambda leaf: np.asarray(leaf[0]), learner.precompute(given.support))
    layers = [*zip(*(map(np.asarray, them) for them in (learner.start, learner.network.network.offsets)), strict=True)]
    activity = [example.x]
    for number, (weight, bias) in enumerate(layers):
        drive = activity[-1] @ weight.T + bias
        activity.append(np.maximum(drive, 0) if number == 0 else drive)
    signal = example.y - activity[-1]
    after = learner.update(state, jax.tree.map(jnp.asarray, example), KEY)
    for number, (weight, _) in enumerate(layers):
        path = learner.feedback.paths[number].layers[0]
        f = np.maximum(signal @ np.asarray(path.weight).T + np.asarray(path.bias), 0)
        taught = 0.6 * f + 0.4 * activity[number + 1]
        rate = 0.01 * (0.5 if number == 0 else 1.0)
        expected = weight.copy()
        for i in range(weight.shape[0]):
            for j in range(weight.shape[1]):
                for n in range(len(signal)):
                    expected[i, j] += rate * (taught[n, i] * activity[number][n, j] - weight[i, j] * taught[n, i] ** 2)
        np.testing.assert_allclose(after.weights[number], expected, rtol=1e-10)


def test_no_weight_loses_more_than_the_bound_in_one_step():
    options = {"signal": "error", "output_path": "identity", "mixing": 1.0, "plasticity": 5.0}
    example = jax.tree.map(lambda leaf: leaf[0], episode(PLASTIC_ONLY).support)
    for bound in (0.5, None):
        learner = FeedbackPlasticity(PLASTIC_ONLY, KEY, bound=bound, **options)
        decays = [changes[1] for changes in learner.updates(learner.init(KEY), example, KEY).weights]
        forgotten = max(float(jnp.max(jnp.abs(decay.update.rate[:, None] * decay.gate))) for decay in decays)
        assert (forgotten <= 0.5 + 1e-6) == (bound is not None)


def test_no_response_changes_more_than_the_bound_times_what_is_taught():
    given = episode(PLASTIC_ONLY, batch=1)
    example = jax.tree.map(lambda leaf: leaf[0], given.support)
    options = {"rule": "hebb", "mixing": 1.0, "plasticity": 5.0, "bound": None, "signal": "target"}
    for bound in (0.2, None):
        learner = FeedbackPlasticity(PLASTIC_ONLY, KEY, response_bound=bound, **options)
        before, after = learner.init(KEY), learner.update(learner.init(KEY), example, KEY)
        taught = jnp.abs(learner.feedback.paths[0](example.y[0]))
        change = jnp.abs((after.weights[0] - before.weights[0]) @ example.x[0])
        assert bool(jnp.all(change <= 0.2 * taught + 1e-6)) == (bound is not None)


def test_as_published_it_explodes_and_bounded_it_does_not():
    """Nine plastic layers that no small rate holds back: nothing finite comes out, as in the published code."""
    network = EncoderMLP(NoEncoder((4,)), (*[40] * 8, 1), MeanSquaredError())
    given = episode(network, steps=12, batch=32)
    options = {"signal": "error", "output_path": "drawn", "plasticity": 0.02}
    wild = FeedbackPlasticity(network, KEY, bound=None, **options).run(given, KEY)[0]
    tame = FeedbackPlasticity(network, KEY, bound=0.5, response_bound=0.1, **options).run(given, KEY)[0]
    assert not np.isfinite(wild)
    assert np.isfinite(tame)


def test_frozen_parts_stay_and_biases_too():
    learner = LEARNERS["classes"]()
    state = learner.init(KEY)
    changes = learner.updates(
        state, jax.tree.map(lambda leaf: leaf[0], learner.precompute(episode(CLASSES).support)), KEY
    )
    assert not jax.tree.leaves((changes.feedback, changes.largest))
    final = learner.adapt(state, episode(CLASSES).support, KEY)
    for weights, before in zip(final.weights, learner.start, strict=True):
        assert np.abs(weights - before).max() > 0


def test_features_of_a_stream_are_those_of_its_images(x64):
    encoder = ConvEncoder(9, 1, 3, (2, 1))
    learner = FeedbackPlasticity(EncoderMLP(encoder, (4, 3), SoftmaxCrossEntropy()), KEY)
    x = jax.random.uniform(KEY, (3, 2, 9, 9))
    prepared = learner.precompute(Examples(x, jnp.zeros((3, 2), jnp.int32))).x
    for step in range(3):
        np.testing.assert_allclose(prepared[step], encoder(learner.network.weights, x[step]), rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_is_that_of_xla(stride):
    x, kernel = jax.random.normal(KEY, (2, 8, 7, 3)), jax.random.normal(KEY, (3, 3, 3, 4))
    np.testing.assert_allclose(_of_slices(x, kernel, stride), _native(x, kernel, stride), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        mp.networks.convolve(x, kernel, stride), _native(x, kernel, stride), rtol=1e-4, atol=1e-4
    )


def test_many_images_are_taken_in_parts(monkeypatch):
    monkeypatch.setattr("metaplax.networks.encoders.AT_ONCE", 9 * 3**2 * 7)
    encoder = ConvEncoder(7, 1, 2, (2,))
    assert encoder.at_once == 7
    weights = encoder.init(KEY)
    x = jax.random.uniform(KEY, (20, 7, 7))
    one_by_one = jnp.concatenate([encoder(weights, image[None]) for image in x])
    np.testing.assert_allclose(encoder(weights, x), one_by_one, rtol=1e-5)


def test_every_trial_starts_elsewhere_in_the_same_structure():
    for learner in (LEARNERS["oja"](), LEARNERS["oml"]()):
        other = learner.resample(jax.random.key(9))
        assert jax.tree.structure(other) == jax.tree.structure(learner)
        first = [jax.tree.leaves(it.start)[0] for it in (learner, other)]
        assert np.abs(first[0] - first[1]).max() > 0
    path = LearnedPath(KEY, (2, 3), gain=0.5, identity=True)
    np.testing.assert_array_equal(path.layers[0].weight, 0.5 * np.eye(3, 2))


def test_optimisers_by_field_leave_the_others_alone():
    learner = LEARNERS["classes"]()
    parameters, constants = split(learner)
    optimizer = per_field(
        {("start", "network"): optax.sgd(0.1), "rule": optax.sgd(1.0), "feedback.mixing": optax.sgd(2.0)}
    )
    gradient = jax.tree.map(jnp.ones_like, parameters)
    updates, _ = optimizer.update(gradient, optimizer.init(parameters), parameters)
    after = join(eqx.apply_updates(parameters, updates), constants)
    np.testing.assert_allclose(after.start[0], learner.start[0] - 0.1, rtol=1e-6)
    np.testing.assert_allclose(after.network.network.offsets[0], -0.1 * np.ones(5), rtol=1e-6)
    plasticity = [it.rule.coefficients.values[0][0] for it in (learner, after)]
    np.testing.assert_allclose(plasticity[1], plasticity[0] - 1.0, rtol=1e-6)
    np.testing.assert_allclose(after.feedback.mixing, learner.feedback.mixing - 2.0, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after.feedback.paths, learner.feedback.paths)
    with pytest.raises(ValueError, match="no meta-parameters in a field 'plastic'"):
        per_field({"plastic": optax.sgd(0.1)}).init(parameters)


def test_meta_training_lowers_the_loss():
    network = EncoderMLP(DenseEncoder((4, 16)), (8, 1), MeanSquaredError())
    learner = OnlineGradient(network, KEY, rate=0.01)
    optimizer = optax.adam(1e-2)
    trained = mp.meta_train(
        learner, TASK, mp.estimators.Checkpointed(), optimizer, 100, key=KEY, meta_batch=2, trials=2, resample=True
    )
    losses = np.array([row["loss"] for row in trained.history])
    assert losses[-20:].mean() < 0.8 * losses[:20].mean()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda e: Episode(e.support, e.query.x), "query set must be Examples"),
        (lambda e: Episode(jax.tree.map(lambda leaf: leaf[:, 0], e.support), e.query), "takes a support set of shape"),
        (
            lambda e: Episode(Examples(e.support.x, e.support.y.astype(float)), e.query),
            "takes classes, .* targets of the support set are float32",
        ),
    ],
)
def test_episodes_that_do_not_fit_are_refused(change, sentence):
    with pytest.raises(IncompatibleError, match=sentence):
        LEARNERS["classes"]().check(change(episode(CLASSES)))


def test_too_many_classes_and_wrong_targets_are_refused():
    with pytest.raises(IncompatibleError, match="the task has 9 classes, but the network 3 outputs"):
        LEARNERS["classes"]().check(episode(CLASSES), 9)
    given = episode()
    with pytest.raises(IncompatibleError, match=r"floating-point targets of shape \(.*, 1\)"):
        LEARNERS["oja"]().check(Episode(given.support, Examples(given.query.x, given.query.y[:, 0])))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FeedbackPlasticity(CLASSES, KEY, bound=0.0), "must be positive"),
        (lambda: FeedbackPlasticity(CLASSES, KEY, output_path="identity", path_widths=(3,)), "cannot start as"),
        (lambda: FeedbackPlasticity(CLASSES, KEY, sharing="global", hidden_plasticity=1.0), "all layers share"),
        (lambda: OnlineGradient(CLASSES, KEY, rate=0.0), "must be positive"),
        (lambda: Encoded(DenseEncoder((4, 6)), mp.MLP((5, 3)), KEY), r"gives 6 features, but .* shape \(5,\)"),
        (lambda: ConvEncoder(4, 1, 2, (2, 2)), "too small"),
        (lambda: DenseEncoder((4,)), "at least two sizes"),
        (lambda: EncoderMLP(NoEncoder((4,)), (), MeanSquaredError()), "at least one neuron"),
    ],
)
def test_what_makes_no_sense_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
