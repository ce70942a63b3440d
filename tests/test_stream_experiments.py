"""Experiments on streams: from a run to its report, longer streams afterwards, and what single updates do."""

import csv
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import metaplax as mp
from metaplax.cli import main
from metaplax.data import ImageSet
from metaplax.experiments import ConfigError, preset
from metaplax.experiments.base import Conditions
from metaplax.experiments.lindsey2020 import EXPERIMENTS
from metaplax.experiments.lindsey2020.image_streams import AbstractImages
from metaplax.experiments.studies.meta_training import MetaTraining, Untrained
from metaplax.experiments.studies.stream_scores import RateSearch, StreamScores, stream_keys
from metaplax.learners import OnlineGradient, split
from metaplax.networks import DenseEncoder, EncoderMLP, MeanSquaredError
from metaplax.runs import FolderRecorder, Interruption, NoProgress, RunFolder
from metaplax.runs.schema import Search, check
from metaplax.tasks import Sinusoids

KEY = jax.random.key(4)
ARMS = AbstractImages.settings
NAMES = [kind.name for kind in EXPERIMENTS]
NETWORK = EncoderMLP(DenseEncoder((4, 6)), (5, 1), MeanSquaredError())
TASK = Sinusoids(3, 2, 4, 5, order="continual", pool=9)


def conducted(study, path, trials):
    """All rows that a study leaves, with the final one."""
    folder = RunFolder.create(path, "x", {})
    recorder = FolderRecorder(folder, "it", "x", 1e9)
    study.check()
    with folder.writing():
        study.conduct(Conditions(KEY, trials, recorder, lambda name: recorder, NoProgress(), Interruption()))
    return folder.rows()


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_fits_its_task(name, few_glyphs):
    experiment = preset(name, "smoke")
    load = lambda name, split=None: few_glyphs  # noqa: E731
    for study in experiment.studies(few_glyphs, load).values():
        study.check()


@pytest.mark.parametrize("which", ["quick", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_larger_presets_fit_their_data(name, which, few_glyphs):
    """On fewer and smaller classes than theirs, and in the paper's sizes, without computing anything."""
    experiment = preset(name, which)
    if experiment.data != "none":
        strides = (2, 1, 2)
        experiment = replace(experiment, data="glyphs", channels=2, strides=strides, ways=3, shots=2, queries=2)
        experiment = replace(experiment, **({"test_counts": (5, 15)} if "continual" in name else {}))
        experiment = replace(experiment, **({"test_counts": (15,)} if "interference" in name else {}))
    studies = experiment.studies(few_glyphs, lambda name, split=None: few_glyphs)
    for arm in experiment.arms():
        study = studies[arm]
        if isinstance(study, MetaTraining):
            assert jax.eval_shape(study.optimizer.init, split(study.learner)[0]) is not None
        else:
            assert isinstance(study, Untrained)


def test_averages_are_kept_only_if_asked_for(few_glyphs):
    for average in (False, True):
        experiment = replace(preset("lindsey2020/regression-iid", "smoke"), average=average)
        study = experiment.studies(few_glyphs, lambda name, split=None: few_glyphs)["flp"]
        found = mp.optim.averaged_params(jax.eval_shape(study.optimizer.init, split(study.learner)[0]))
        assert (found is not None) == average


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("omniglot-iid", {"ways": 20}, "20 classes need as many outputs, not 12"),
        ("omniglot-continual", {"test_counts": (5, 2)}, "test_counts must be positive and increasing"),
        ("regression-iid", {"clip": -1.0}, "clip must not be negative"),
        ("regression-iid", {"tuned_for": "me"}, "tuned_for is one of paper, quick, smoke, not 'me'"),
        ("regression-iid", {"pool": 0}, "pool must be positive"),
        ("interference", {"test_counts": (1,)}, "need streams of at least 2 classes"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(name, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(preset(f"lindsey2020/{name}", "smoke"), **change)


def test_images_too_small_or_too_few_are_refused_in_one_sentence(few_glyphs):
    experiment = preset("lindsey2020/omniglot-iid", "smoke")
    load = lambda name, split=None: few_glyphs  # noqa: E731
    with pytest.raises(ConfigError, match="too small for 6 convolutions"):
        replace(experiment, strides=(2,) * 6).studies(few_glyphs, load)
    with pytest.raises(ConfigError, match="strides of at least 1"):
        replace(experiment, strides=(0,)).studies(few_glyphs, load)
    regression = preset("lindsey2020/regression-iid", "smoke")
    with pytest.raises(ConfigError, match="pool of 2 functions is too small"):
        replace(regression, pool=2).studies(few_glyphs, load)
    with pytest.raises(ConfigError, match="4 functions do not fit into 3 slots"):
        regression.test_task(few_glyphs, load, 4, "iid")
    with pytest.raises(ConfigError, match="at least 1, not"):
        replace(regression, sizes=(0, 4)).studies(few_glyphs, load)
    with pytest.raises(ConfigError, match="too few for 40 different ones"):
        replace(experiment, ways=40, outputs=50).studies(few_glyphs, load)


def test_from_a_run_to_longer_streams(tmp_path, few_glyphs, capsys, monkeypatch):
    monkeypatch.delitem(ARMS["smoke"], "oml")
    words = ["run", "lindsey2020/omniglot-continual", "--preset", "smoke", "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    names = {quantity["name"]: quantity for quantity in result["quantities"]}
    for arm in ("flp", "fa"):
        for count in (2, 5):
            assert 0 <= names[f"accuracy_after{count}.{arm}.test"]["mean"] <= 1
    assert "parts.flp.test" not in names
    assert names["accuracy.flp.test"]["mean"] == names["accuracy_after5.flp.test"]["mean"]
    assert any(finding.startswith("learned feedback, Oja: accuracy") for finding in result["findings"])
    run = result["run"]
    svg = (tmp_path / run / "figures" / "streams.svg").read_text()
    assert "<svg" in svg
    before = (tmp_path / run / "metrics.jsonl").read_text()

    assert main(["evaluate", run, "--classes", "7", "--episodes", "1", "--json"]) == 0
    longer = json.loads(capsys.readouterr().out)
    names = {quantity["name"] for quantity in longer["quantities"]}
    assert {"accuracy_after7.flp.class7x1", "accuracy_after5.fa.class7x1", "accuracy_after5.flp.test"} <= names
    assert (tmp_path / run / "metrics.jsonl").read_text().startswith(before)
    assert main(["evaluate", run, "--classes", "13"]) == 2
    assert "the task has 13 classes, but the network 12 outputs" in capsys.readouterr().err
    assert main(["evaluate", run, "--classes", "0"]) == 2
    assert main(["resume", run]) == 0
    before = len((tmp_path / run / "metrics.jsonl").read_text().splitlines())
    assert main(["evaluate", run, "--classes", "4", "--order", "iid", "--episodes", "2"]) == 0
    assert len((tmp_path / run / "metrics.jsonl").read_text().splitlines()) > before
    assert "(iid4x2)" in capsys.readouterr().out.replace("\n", "")
    (tmp_path / run / "result.json").unlink()
    assert main(["evaluate", run]) == 1
    assert "is not finished" in capsys.readouterr().err


def test_other_experiments_have_no_longer_streams(tmp_path, capsys):
    folder = RunFolder.create(tmp_path, "x", {})
    assert main(["evaluate", str(folder.path)]) == 1
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err


def test_scores_on_the_way_are_those_of_the_state_reached_there(tmp_path):
    learner = OnlineGradient(NETWORK, KEY, rate=0.05)
    *rows, _ = conducted(StreamScores("it", Untrained(learner), learner, TASK, (1, 3), 1), tmp_path, 1)
    trial = jax.random.fold_in(KEY, 0)
    resample_key = jax.random.fold_in(trial, 2**32 - 1)
    started, task = learner.resample(resample_key), TASK.resample(resample_key)
    episode = task.sample(stream_keys(trial, jnp.int32(0))[0])
    for row, count in zip(rows, (1, 3), strict=True):
        support = jax.tree.map(lambda leaf, n=count: leaf[: 2 * n], episode.support)
        state = started.adapt(started.init(KEY), support, KEY)
        query = jax.tree.map(lambda leaf, n=count: leaf[: 5 * n], episode.query)
        seen = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), support)
        np.testing.assert_allclose(row["loss"], [started.evaluate(state, query)[0]], rtol=1e-4)
        np.testing.assert_allclose(row["loss_seen"], [started.evaluate(state, seen)[0]], rtol=1e-4)
        assert row["parts"] == [count]


def test_rates_are_tuned_on_other_streams(tmp_path):
    learner = OnlineGradient(NETWORK, KEY, rate=0.05)
    other = Sinusoids(2, 2, 4, 5, order="continual", pool=9, slots=3, pool_index=2)
    study = StreamScores(
        "it", Untrained(learner), learner, TASK, (1, 2, 3), 3, RateSearch((2e-4, 0.6, 2e4), other, (1, 2))
    )
    *rows, _ = conducted(study, tmp_path / "searched", 2)
    assert [row["rate_factor"] for row in rows] == [pytest.approx([0.6, 0.6])] * 3
    (file,) = (tmp_path / "searched").glob("*/searches/it.json")
    search = RunFolder(file.parents[1]).read_json("searches/it.json")
    check(search, Search)
    assert (search["values"], search["episodes"], search["after"]) == ([2e-4, 0.6, 2e4], 3, [1, 2])
    assert search["chosen"] == [0.6, 0.6]
    # The largest factor explodes, which is no number in JSON.
    assert [scores[2] is None or scores[2] < scores[1] for scores in search["scores"]] == [True, True]
    assert all(scores[0] < scores[1] for scores in search["scores"])
    given = OnlineGradient(NETWORK, KEY, rate=0.03)
    *expected, _ = conducted(StreamScores("it", Untrained(given), given, TASK, (1, 2, 3), 3), tmp_path / "given", 2)
    np.testing.assert_allclose([row["loss"] for row in rows], [row["loss"] for row in expected], rtol=1e-5)


def test_every_length_of_a_stream_has_a_factor_of_its_own(tmp_path, monkeypatch):
    """Scores are those of separate streams with the factor of each length."""
    learner = OnlineGradient(NETWORK, KEY, rate=0.05)
    study = StreamScores("it", Untrained(learner), learner, TASK, (1, 3), 2)

    def rows_with(*factors):
        monkeypatch.setattr(StreamScores, "chosen", lambda study, conditions: factors)
        return conducted(study, tmp_path / str(factors), 2)[:-1]

    for number, (row, factor) in enumerate(zip(rows_with(0.6, 0.1), (0.6, 0.1), strict=True)):
        alone = rows_with(factor, factor)[number]
        np.testing.assert_allclose(row["loss"], alone["loss"], rtol=1e-6)
        assert row["parts"] == alone["parts"]


def test_the_published_classes_strokes_and_milestones():
    classes = [f"alphabet/{number:04d}" for number in range(964)]
    images = np.zeros((964 * 10, 8, 8), np.uint8)
    background = ImageSet("omniglot (surrogate)", images, np.repeat(np.arange(964), 10), tuple(classes))
    evaluation = ImageSet(background.name, images[:6590], background.labels[:6590], tuple(classes[:659]))
    paper = replace(preset("lindsey2020/omniglot-iid", "paper"), data="omniglot")
    load = lambda name, split=None: {None: background, "evaluation": evaluation}[split]  # noqa: E731
    assert paper.training_task(background).bank.labels.tolist() == list(range(863))
    assert paper.search_task(background, 5, "iid").bank.labels.tolist() == list(range(863, 963))
    test = paper.test_task(background, load, 5, "iid")
    assert test.bank.labels.tolist() == list(range(650))
    assert jnp.all(test.sample(KEY).support.x == 1)
    assert (paper.numbers, paper.test_episodes, paper.meta_steps) == ("first", 500, 40000)

    sinusoids = preset("lindsey2020/regression-iid", "paper")
    rates = [float(sinusoids.schedule("start", 1e-4)(step)) for step in (1499, 1500, 2500, 3500)]
    np.testing.assert_allclose(rates, [1e-4, 3e-5, 9e-6, 2.7e-6], rtol=1e-6)
    assert sinusoids.schedule("feedback", 1e-4) == 1e-4
    assert replace(sinusoids, as_released=True).schedule("start", 1e-4) == 1e-4
    with pytest.raises(ConfigError, match="milestones must be positive and increasing"):
        replace(sinusoids, milestones=(2, 1))


def test_arms_are_compared_trial_by_trial_and_rates_at_an_edge_are_named(few_glyphs):
    experiment = preset("lindsey2020/hidden-feedback", "smoke")
    end = {"parts": [3.0, 3.0], "step": 0, "loss": [1.0, 1.0], "rate_factor": [3.0, 3.0]}
    rows = [
        {"study": "learned_one.test", "accuracy": [0.5, 0.75], **end},
        {"study": "none_one.test", "accuracy": [0.25, 0.25], **end, "rate_factor": [30.0, 30.0]},
    ]
    found = {quantity.name: quantity for quantity in experiment.further_quantities(rows)}
    difference = found["accuracy_difference.learned_one.none_one"]
    assert (difference.mean, difference.n) == (0.375, 2)
    assert not any("frozen" in name for name in found)
    findings = experiment.findings(found, experiment.studies(few_glyphs, lambda name, split=None: few_glyphs))
    assert "accuracy of learned feedback, × 1 minus no feedback, × 1: 0.375" in " ".join(findings)
    assert findings[-1] == "the best inner rate is at the edge of what was searched: no feedback, × 1"


@pytest.fixture
def imagenet(tmp_path):
    """Three classes of four small pictures for each part, with lists like the standard ones."""
    g = np.random.default_rng(0)
    folder = tmp_path / "miniimagenet"
    (folder / "images").mkdir(parents=True)
    for part in ("train", "val", "test"):
        with (folder / f"{part}.csv").open("w", newline="") as stream:
            lists = csv.writer(stream)
            lists.writerow(["filename", "label"])
            for label in (f"n{part}{number}" for number in range(3)):
                for number in range(4):
                    name = f"{label}{number:04}.jpg"
                    Image.fromarray(g.integers(0, 255, (20, 30, 3), np.uint8)).save(folder / "images" / name)
                    lists.writerow([name, label])
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*is not the published file")
def test_mini_imagenet_is_read_from_a_folder_of_images(imagenet):
    data = mp.data.miniimagenet("train", data_dir=imagenet)
    assert data.images.shape == (12, 84, 84, 3)
    assert data.class_names == ("ntrain0", "ntrain1", "ntrain2")
    assert data.counts().tolist() == [4, 4, 4]
    (imagenet / "miniimagenet" / "images" / "ntest00001.jpg").unlink()
    with pytest.raises(mp.data.DataError, match=r"ntest00001.jpg is in the list, but not in the folder"):
        mp.data.miniimagenet("test", data_dir=imagenet)
    (imagenet / "miniimagenet" / "images" / "nval00000.jpg").write_text("no image")
    with pytest.raises(mp.data.DataError, match=r"nval00000.jpg cannot be read as a PNG or JPEG image"):
        mp.data.miniimagenet("val", data_dir=imagenet)


@pytest.mark.filterwarnings("ignore:.*is not the published file")
def test_mini_imagenet_in_a_folder_per_class(imagenet):
    images = imagenet / "miniimagenet" / "images"
    for path in list(images.iterdir()):
        (images / path.name[:-8]).mkdir(exist_ok=True)
        path.rename(images / path.name[:-8] / path.name)
    assert len(mp.data.miniimagenet("test", data_dir=imagenet, size=28).images) == 12
    (imagenet / "miniimagenet" / "test.csv").write_text("a,b\n1,2\n")
    with pytest.raises(mp.data.DataError, match="is no list of images"):
        mp.data.miniimagenet("test", data_dir=imagenet)


def test_missing_mini_imagenet_images_are_named(tmp_path, shared_data):
    with pytest.raises(mp.data.DataError, match="put them into the folder miniimagenet/images"):
        mp.data.miniimagenet("val", data_dir=shared_data)
    (state,) = mp.data.inspect(("miniimagenet",), shared_data)
    assert state["problem"].startswith("the images of mini-ImageNet are not here")


@pytest.mark.filterwarnings("ignore:.*is not the published file")
def test_streams_of_colour_images(imagenet):
    experiment = preset("lindsey2020/omniglot-iid", "smoke")
    experiment = replace(experiment, data="miniimagenet", ways=2, shots=1, queries=1, channels=2, strides=(2, 2, 2, 2))
    load = lambda name, split=None: mp.data.load(name, imagenet, split)  # noqa: E731
    with pytest.raises(ConfigError, match="too few images per class for 5 of each to be scored on"):
        experiment.studies(load("miniimagenet"), load)
    task = experiment.training_task(load("miniimagenet"))
    learner = experiment.learner(experiment.arms()["flp"], load("miniimagenet"))
    found = mp.estimators.Checkpointed().value_and_grad(learner, task.sample(KEY), KEY)
    loss, gradient = found.loss, found.gradient
    assert np.isfinite(loss)
    assert np.abs(gradient.network.weights[0].weight).max() > 0


@pytest.mark.filterwarnings("ignore:.*is not the published file")
def test_omniglot_streams_hold_other_alphabets_in_tests(shared_data):
    experiment = preset("lindsey2020/omniglot-iid", "quick")
    data = mp.data.load("omniglot", shared_data)
    test = experiment.test_task(data, lambda n, s=None: mp.data.load(n, shared_data, s), 5, "iid")
    assert len(data.class_names) == 964
    assert len(test.bank.labels) == 650
    train = experiment.training_task(data)
    episode = jax.jit(lambda key: train.sample(key))(KEY)
    assert episode.support.x.shape == (25, 1, 28, 28)
