"""Experiments that are more than meta-training: online learning of one stream, and rules used elsewhere as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
import small
from metaplax.experiments import ConfigError, RunOptions, resume, run
from metaplax.experiments.shervani2023.generalisation import CONDITIONS, FACTORS, Generalisation, of_depth, of_width
from metaplax.experiments.shervani2023.online_digits import Fig1, Fig6
from metaplax.runs import Interrupted, Interruption
from metaplax.tasks import ImageStream
from metaplax.training import Rollback
from metaplax.training.rollback import Best

SIZES = (784, 10, 8, 47)


class StopAfter(Interruption):
    """Asks to stop when it has been asked so many times whether to."""

    def __init__(self, count: int):
        self.left = count

    @property
    def requested(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.left -= 1
        return "SIGTERM" if self.left < 0 else ""


def digits(**more) -> Fig1:
    return Fig1(**{"data": "glyphs", "trials": 2, "images": 40, "every": 10, "queries": 20, "sizes": SIZES, **more})


@pytest.mark.usefixtures("few_glyphs")
def test_a_stream_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(Fig1, "arms", ("fa", "f_bio"))
    whole = run(digits(), RunOptions(out=tmp_path))
    with pytest.raises(Interrupted):
        run(digits(), RunOptions(out=tmp_path / "stopped"), interruption=StopAfter(3))
    (stopped,) = (tmp_path / "stopped").iterdir()
    assert rows(resume(stopped)) == rows(whole)


@pytest.mark.usefixtures("few_glyphs")
def test_forward_weights_beside_feedback_weights_and_a_rule_that_explodes(tmp_path, monkeypatch):
    monkeypatch.setattr(Fig6, "arms", ("ehebb", "hebb"))
    monkeypatch.setattr(Fig6, "by_hand", {"hebb": 10.0})
    fields = {"data": "glyphs", "trials": 2, "images": 40, "every": 10, "queries": 20, "sizes": SIZES}
    found = mp.reports.read(run(Fig6(**fields), RunOptions(out=tmp_path)).path)
    assert found.series["ehebb"]["feedback_cosine2"].shape == (4, 2)
    assert "Hebb on activities alone: exploded in 2 of 2 trials" in found.findings
    assert found.quantities["explosion.hebb"]["mean"] <= 40
    assert "explosion.ehebb" not in found.quantities


def rows(folder) -> list:
    clock = ("seconds", "cpu_seconds")
    return [{name: value for name, value in row.items() if name not in clock} for row in folder.rows()]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"images": 45}, "a multiple of every = 10, not 45"),
        ({"images": 10_000}, "leaves 470 images to learn from, fewer than 10000"),
        ({"queries": 600}, "so 600 cannot be set apart"),
        ({"every": 0}, "every must be positive"),
    ],
)
@pytest.mark.usefixtures("few_glyphs")
def test_impossible_streams_are_refused(more, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        run(digits(**more), RunOptions(out=tmp_path))


def test_a_stream_shows_every_image_once_and_none_it_is_scored_on():
    train, test = mp.data.glyphs(4).divided(47)
    stream = ImageStream(train, test, 47)
    key = jax.random.key(0)
    pieces = [stream.piece(stream.order(key), first, 47) for first in range(0, 141, 47)]
    seen = np.concatenate([np.asarray(piece.x * 255).round().astype(np.uint8) for piece in pieces])
    everything = train.images.reshape(141, -1)
    assert sorted(map(bytes, seen)) == sorted(map(bytes, everything))
    scored = np.asarray(stream.query(key).x * 255).round().astype(np.uint8)
    assert sorted(map(bytes, scored)) == sorted(map(bytes, test.images.reshape(47, -1)))


@pytest.mark.usefixtures("few_glyphs")
def test_a_rule_is_used_elsewhere_as_it_was_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(Generalisation, "arms", ("fa", "f_bio"))
    experiment = Generalisation(
        data="glyphs", meta_steps=3, trials=2, sizes=SIZES, shots=4, queries=2, test_episodes=2,
        conditions=("held_out", "depth4"), other_data=("glyphs",), streams=(94,), streams_of="glyphs",
    )  # fmt: skip
    folder = run(experiment, RunOptions(out=tmp_path))
    found = mp.reports.read(folder.path)
    assert list(found.labels) == ["fa", "f_bio"]
    conditions = {one.condition for one in found.studies.values() if one.arm == "f_bio"}
    assert conditions == {"", "held_out", "depth4", "glyphs", "stream94"}
    # Only learning rates are tuned; a rule of several terms is used as it is.
    factors = {name: quantity["mean"] for name, quantity in found.quantities.items() if name.startswith("factor")}
    assert factors["factor.f_bio.held_out"] == 1
    assert factors["factor.fa.held_out"] in FACTORS
    searched = found.result["searched"]
    assert "f_bio.held_out" not in searched
    assert searched["fa.held_out"]["chosen"] == [factors["factor.fa.held_out"]]
    assert searched["fa.held_out"]["values"] == list(FACTORS)
    assert searched["fa.held_out"]["on"] == "other episodes of the same task"
    assert (
        max(searched["fa.held_out"]["scores"][0])
        == searched["fa.held_out"]["scores"][0][FACTORS.index(factors["factor.fa.held_out"])]
    )
    assert 'id="transfers"' in mp.reports.write([folder.path], tmp_path / "report.html").read_text()


def test_a_stream_shows_all_classes_equally_often(few_glyphs):
    task = Generalisation(data="glyphs", queries=1).stream(few_glyphs, 94)
    assert np.bincount(np.asarray(task.sample(jax.random.key(0)).support.y)).tolist() == [2] * 47
    with pytest.raises(ConfigError, match="a multiple of 47, not 100"):
        Generalisation(data="glyphs").stream(few_glyphs, 100)


def test_sizes_elsewhere():
    paper = (784, 170, 130, 100, 70, 47)
    assert of_depth(paper, 3) == (784, 170, 70, 47)
    assert len(of_depth(paper, 10)) == 11
    assert of_width(paper, 0.5) == (784, 85, 65, 50, 35, 47)
    with pytest.raises(ConfigError, match=f"there are {', '.join(CONDITIONS)}"):
        Generalisation(conditions=("depth5",))


def before_the_first_step() -> Best:
    best = Rollback(margin=0.5).start(jnp.zeros(()))[1]
    assert best is not None
    return best


def test_going_back_to_the_best():
    best = before_the_first_step()
    losses = [3.0] + [1.0] * 40 + [5.0] * 10
    current, path = jnp.zeros(()), []
    for loss in losses:
        current, best = best.after(jnp.asarray(loss), current + 1, 0.5)
        path.append(float(current))
    assert path[:41] == list(range(1, 42)), "as long as it goes well nothing happens"
    assert max(path[41:]) <= 43, "the second bad loss is one too many"
    assert path[-1] < 45
    assert float(best.lowest) < 1.2


def test_without_a_margin_nothing_goes_back():
    best = before_the_first_step()
    for loss in (1.0, 1e30, float("nan"), 1e30):
        current, best = best.after(jnp.asarray(loss), jnp.ones(()), float("inf"))
        assert float(current) == 1
    assert bool(jnp.isfinite(best.recent))


def test_feedback_that_learns_receives_its_share_of_every_change():
    rule = mp.rules.f_bio()
    rule = type(rule)(rule.terms, rule.coefficients.filled((0.03, -0.02, 0.02)))
    learner = mp.OnlinePlasticity(mp.MLP(small.SIZES), rule, mp.feedback.PlasticFeedback(0.5, 0.0))
    start = learner.init(jax.random.key(0))
    end = learner.adapt(start, small.examples(5), jax.random.key(1))
    forward, back = (jax.tree.map(jnp.subtract, getattr(end, n), getattr(start, n)) for n in ("weights", "feedback"))
    for change, received in zip(forward, back, strict=True):
        assert np.any(change)
        np.testing.assert_allclose(received, 0.5 * change, atol=1e-6)


def test_chain_and_direct_with_one_gain_is_either():
    network, key = mp.MLP(small.SIZES), jax.random.key(0)
    both = mp.feedback.ChainAndDirect()
    chain, direct = both.init(key, network)
    example = jax.tree.map(lambda leaf: leaf[0], small.examples(1))
    weights = network.init(key)
    activity = network.forward(weights, example.x)
    error = network.readout.error(activity.y[-1], example.y)
    for gains, alone, state in (
        ((1.0, 0.0), mp.feedback.RandomFixed(), chain),
        ((0.0, 1.0), mp.feedback.Direct(), direct),
    ):
        found = mp.feedback.ChainAndDirect(*gains).errors((chain, direct), network, weights, activity, error, key)
        expected = alone.errors(state, network, weights, activity, error, key)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_going_back_after_explosions_too():
    """A mean that rises because nothing but explosions happen is left as one that rises by itself."""
    best = before_the_first_step()
    current = jnp.zeros(())
    for loss in [1.0] * 20:
        current, best = best.after(jnp.asarray(loss), current + 1, 0.5)
    while (later := best.after(jnp.asarray(5.0), current, 0.5))[1].recent > best.recent:
        current, best = later
    assert float(later[0]) == 1, "the first of the twenty equal ones was the best"
    assert float(later[1].recent) == float(later[1].lowest)
