"""Spiking networks that learn to learn, from configuration to report."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax.estimators import Contrastive, Reverse
from metaplax.experiments import ConfigError, EstimatorComparison, RunOptions, preset, resume, run
from metaplax.experiments.zucchet2022.spiking import SpikingPattern, SpikingSinusoid
from metaplax.learners import BPTT, Descent, EProp, SpikingLearner
from metaplax.networks import RecurrentLIF
from metaplax.reports.example_tasks import curves
from metaplax.reports.hover import hover_values
from metaplax.tasks import Episode, SpikingSinusoids

KEY = jax.random.key(0)
NOTHING = mp.data.load("none"), lambda name, split=None: mp.data.load(name)


def tiny(name: str, **more):
    return replace(preset(name, "smoke"), hidden=4, **more)


def test_from_configuration_to_report(tmp_path):
    folder = run(tiny(SpikingSinusoid.name, test_episodes=2, arms=("cml",)), RunOptions(out=tmp_path))
    found = mp.reports.read(resume(folder.path).path)
    assert list(found.labels) == ["cml"]
    assert found.config["data"] == "none"
    loss = found.quantities["loss.cml.test"]
    assert (loss["unit"], loss["n"]) == ("squared error", 2)
    assert found.quantities["loss.cml.untrained"]["mean"] != loss["mean"]
    tested = [row["loss"] for row in folder.rows() if row["study"] == "cml.test" and not row.get("final")]
    assert loss["mean"] == pytest.approx(np.mean(tested)), "over all tasks"
    spent = [row["cpu_seconds"] for row in folder.rows() if row["study"] == "cml" and not row.get("final")]
    assert found.quantities["cpu_seconds_per_episode.cml"]["mean"] == pytest.approx(np.median(spent) / (2 * 2))
    assert "on 2 further tasks" in found.findings[0]
    example_task = found.example_tasks["cml"]
    assert example_task["axis"] == "input"
    assert len(example_task["x_values"]) == len(example_task["after"]["said"]) == 101
    assert example_task["before"]["said"] != example_task["after"]["said"]
    shown = hover_values(curves(found))[0]["curves"]
    assert [curve["label"] for curve in shown] == ["target", "before adaptation", "after adaptation"]
    np.testing.assert_allclose(shown[2]["y"], example_task["after"]["said"], rtol=1e-3)
    page = mp.reports.write([folder.path], tmp_path / "report.html").read_text()
    for figure in ("progress", "curves", "spikes"):
        assert f'id="{figure}"' in page


def test_curves_over_time(tmp_path):
    found = mp.reports.read(run(tiny(SpikingPattern.name, arms=("cml",)), RunOptions(out=tmp_path)).path)
    example_task = found.example_tasks["cml"]
    assert example_task["axis"] == "step"
    assert len(example_task["target"]) == len(example_task["after"]["said"]) == 8
    assert example_task["support_x_values"] == []
    assert np.all(np.isfinite(found.series["cml"]["loss"]))


@pytest.mark.usefixtures("few_glyphs")
def test_estimators_side_by_side(tmp_path):
    experiment = EstimatorComparison(
        experiment=SpikingSinusoid.name, base="smoke", trials=2, meta_steps=1, probes=1,
        estimators=("checkpointed", "symmetric", "reversible"),
    )  # fmt: skip
    found = mp.reports.read(run(experiment, RunOptions(out=tmp_path)).path)
    assert list(found.labels) == ["checkpointed", "symmetric"]
    assert found.quantities["error.checkpointed"]["mean"] < 1e-5
    assert np.isfinite(found.quantities["error.symmetric"]["mean"])


def test_controls_learn_nothing_from_what_is_scored():
    """Of three arms with the same descent, only the contrastive rule sees the query set in a meta-gradient."""
    experiment = tiny(SpikingSinusoid.name, arms=("cml", "unnudged"))
    episode = experiment.task().sample(KEY)
    other = Episode(episode.support, experiment.task().sample(jax.random.key(1)).query)
    apart = {}
    for arm in ("cml", "unnudged"):
        learner, estimator = experiment.learner(arm), experiment.estimator(arm)
        gradient = lambda episode: estimator.value_and_grad(learner, episode, KEY).gradient  # noqa: B023, E731
        one, two = (jnp.concatenate([g.ravel() for g in jax.tree.leaves(gradient(it))]) for it in (episode, other))
        apart[arm] = float(jnp.linalg.norm(one - two) / jnp.linalg.norm(one))
    assert apart["unnudged"] < 1e-6 < apart["cml"]
    with pytest.raises(ConfigError, match="no learning rates for 'reptile' where tuned_for is 'pattern'"):
        SpikingPattern(arms=("reptile",), tuned_for="pattern")


def test_the_paper_s_settings_and_what_was_released():
    paper = SpikingSinusoid()
    assert paper.learner("cml").minimiser.steps == 500
    estimator = paper.estimator("cml")
    assert (estimator.beta, estimator.variant, estimator.nudged.steps) == (3.0, "symmetric", 100)
    assert isinstance(paper.learner("bptt_eprop", testing=True).inner_gradient, EProp)
    assert paper.estimator("tbptt_eprop").steps == 100
    studies = paper.studies(*NOTHING)
    assert [studies[arm].meta_batch for arm in paper.arms] == [25, 10, 10, 10]
    released = SpikingSinusoid(as_released=True)
    assert released.estimator("cml").as_released
    assert released.learner("cml").inner_gradient.ahead
    assert isinstance(released.learner("bptt_eprop").inner_gradient, EProp)
    assert isinstance(released.learner("bptt_eprop", testing=True).inner_gradient, BPTT)
    assert isinstance(released.learner("cml", testing=True).inner_gradient, EProp)
    online = SpikingSinusoid(form="online", random_feedback=True, seed=3).learner("cml").inner_gradient
    assert (online.form, online.random_feedback) == ("online", 3)
    assert released.studies(*NOTHING)["cml"].meta_batch == 1


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"shots": 0}, "shots must be positive"),
        ({"hidden": 0}, "hidden must be positive"),
        ({"steps": 1}, "at least 2 time steps"),
        ({"adaptation": -0.1}, "adaptation must not be negative"),
    ],
)
def test_what_makes_no_sense(more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SpikingSinusoid(**more)


def temporary_bytes(estimator, steps: int) -> int:
    learner = SpikingLearner(RecurrentLIF(10, 12), EProp(), Descent(optax.sgd(1e-3), steps))
    episode = SpikingSinusoids(4, 4, 10, neurons=10).sample(KEY)
    program = jax.jit(lambda episode: estimator.value_and_grad(learner, episode, KEY).gradient.omega)
    return program.lower(episode).compile().memory_analysis().temp_size_in_bytes


def test_memory_of_the_contrastive_rule_does_not_grow_with_inner_steps():
    few, many = (temporary_bytes(Contrastive(0.5, "symmetric", Descent(optax.sgd(1e-3), 5)), n) for n in (5, 200))
    # But for the number of every step.
    assert many - few <= 4 * 200
    few, many = (temporary_bytes(Reverse(), n) for n in (5, 200))
    assert many > 5 * few, "the test sees memory that grows"
