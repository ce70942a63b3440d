"""Single updates after streams: where they point, and what they do to other classes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaplax.analysis.single_updates import (
    cosine,
    descent_cosines,
    interference,
    output_drift,
    step_to_decrease,
    update_cosines,
)  # fmt: skip
from metaplax.cli import main
from metaplax.experiments.lindsey2020.image_streams import AbstractImages
from metaplax.experiments.studies.meta_training import Untrained
from metaplax.experiments.studies.update_interference import UpdateInterference
from metaplax.learners import OnlineGradient
from metaplax.networks import DenseEncoder, EncoderMLP, MeanSquaredError
from metaplax.tasks import Sinusoids

KEY = jax.random.key(4)
ARMS = AbstractImages.settings
NETWORK = EncoderMLP(DenseEncoder((4, 6)), (5, 1), MeanSquaredError())
TASK = Sinusoids(3, 2, 4, 5, order="continual", pool=9)


@pytest.mark.usefixtures("x64")
def test_an_update_by_gradient_descent_points_down_the_gradient():
    """Of the examples themselves; and what cosines and changes of losses mean, written out."""
    learner = OnlineGradient(NETWORK, KEY, rate=1e-3)
    study = UpdateInterference("it", Untrained(learner), learner, TASK, 1)
    measured = study.measured(learner, TASK, KEY)
    for layer in (1, 2):
        np.testing.assert_allclose(measured[f"descent_cosine{layer}"], 1.0, rtol=1e-9)
        assert -1 <= float(measured[f"update_cosine{layer}"]) <= 1
    assert measured["own_change"] < 0


@pytest.mark.usefixtures("x64")
def test_updates_are_taken_so_far_that_their_own_loss_falls_equally():
    """Step by step by hand: the loss of a linear readout is a parabola along an update by gradient descent."""
    learner = OnlineGradient(NETWORK, KEY, rate=1e-3, adapted="readout")
    decrease = 1e-3
    study = UpdateInterference("it", Untrained(learner), learner, TASK, 1, decrease=decrease)
    measured = study.measured(learner, TASK, KEY)
    assert measured["equal_share"] == 1

    task_key, learner_key = jax.random.split(KEY)
    episode = TASK.sample(task_key)
    state = learner.adapt(learner.init(learner_key), episode.support, learner_key)
    further = episode.query.take(slice(None, None, TASK.queries_per_part))
    layers = learner.weights(state).layers
    features = NETWORK.activity(layers, NETWORK.encoder(learner.start.encoder, further.x))[-2]
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    errors = np.concatenate([layers[-1].weight[0], layers[-1].bias])[None] @ inputs.T - np.asarray(further.y).T
    scale = float(learner.network.readout.loss(jnp.ones((1, 1)), jnp.zeros((1, 1))))
    changes = []
    for own in range(3):
        # Along the gradient the error of the example itself shrinks in proportion, to the root of what is left.
        left = errors[0, own] * (1 - decrease / (scale * errors[0, own] ** 2)) ** 0.5
        moved = inputs[own] * (left - errors[0, own]) / (inputs[own] @ inputs[own])
        drift = inputs @ moved
        others = np.arange(3) != own
        changes += list(scale * ((errors[0] + drift) ** 2 - errors[0] ** 2)[others])
    np.testing.assert_allclose(measured["equal_other_change"], np.mean(changes), rtol=1e-3)


def test_cosines_and_changes():
    one, other = jnp.asarray([[1.0, 0.0]]), jnp.asarray([[1.0, 1.0]])
    np.testing.assert_allclose(cosine(one, other), 0.5**0.5, rtol=1e-6)
    assert cosine(one, jnp.zeros((1, 2))) == 0
    updates = [jnp.stack([one, other, jnp.zeros((1, 2))])]
    np.testing.assert_allclose(update_cosines(updates), [2 * 0.5**0.5 / 6], rtol=1e-6)
    np.testing.assert_allclose(descent_cosines(updates, [-updates[0]]), [2 / 3], rtol=1e-6)
    changes = jnp.asarray([[1.0, -1.0, 2.0], [jnp.nan, jnp.nan, jnp.nan], [0.5, -3.0, -1.5]])
    own, others = interference(changes, jnp.asarray([1, 0, 2]))
    np.testing.assert_allclose([own, others], [(-1.0 - 1.5) / 2, (1.0 + 2.0 + 0.5 - 3.0) / 4])
    before, after = jnp.asarray([[1.0, 2.0], [1.0, 2.0]]), jnp.asarray([[1.5, 2.5], [0.0, 4.0]])
    np.testing.assert_allclose(output_drift(before, after), [0.0, 1.5])


def test_the_step_to_a_decrease():
    parabola = lambda step: (step - 0.3) ** 2  # noqa: E731
    np.testing.assert_allclose(step_to_decrease(parabola, 0.05), 0.3 - 0.04**0.5, rtol=1e-4)
    assert jnp.isnan(step_to_decrease(parabola, 0.1))
    np.testing.assert_allclose(step_to_decrease(lambda step: -step, 1e-6), 1e-6, rtol=0.02)


def test_interference_is_run_and_drawn(tmp_path, few_glyphs, monkeypatch):
    monkeypatch.setitem(ARMS["smoke"], "bp", ARMS["quick"]["bp"])
    monkeypatch.delitem(ARMS["smoke"], "oml")
    assert main(["run", "lindsey2020/interference", "--preset", "smoke", "--out", str(tmp_path), "--json"]) == 0
    (run,) = tmp_path.iterdir()
    names = {quantity["name"] for quantity in json.loads((run / "result.json").read_text())["quantities"]}
    assert {"descent_cosine1.flp.updates_after_2", "update_cosine2.bp.updates_after_3"} <= names
    assert {"equal_drift.flp.updates_after_3", "equal_other_change_difference.bp.updates_after_3"} <= names
    assert (run / "figures" / "updates.svg").is_file()
