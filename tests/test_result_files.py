"""Results of meta-training in folders: read back to the bit, or refused in one sentence."""

import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
import small
from every import KEY, LEARNERS
from metaplax.learners import IncompatibleError
from metaplax.runs import RunFolderError
from metaplax.runs.checksums import sealed
from metaplax.training.result import MetaTrained
from metaplax.training.result_files import NAME

FROM_FILE_ALONE = {"OnlinePlasticity", "FeedbackPlasticity, classes"}
"""Some learners that are made of the classes and numbers of the library alone."""


def trained(learner, task, **more) -> MetaTrained:
    return mp.meta_train(learner, task, mp.estimators.Reverse(), optax.adam(1e-3), 2, key=KEY, trials=2, **more)


def bits(tree) -> list:
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        value = jax.random.key_data(leaf) if is_key else leaf
        array = np.asarray(value)
        found.append((jax.tree_util.keystr(path), type(leaf), array.dtype, array.shape, array.tobytes()))
    return found


def assert_same(one: MetaTrained, other: MetaTrained) -> None:
    assert bits(one.history) == bits(other.history)
    assert (one.masked, one.seconds, one._resample) == (other.masked, other.seconds, other._resample)
    for a, b in ((one.learner, other.learner), (one._given, other._given), (one._keys, other._keys)):
        assert bits(a) == bits(b)
        assert jax.tree.structure(a) == jax.tree.structure(b)
    for trial in range(2):
        assert bits(one.trial(trial)) == bits(other.trial(trial))
    assert bits(one.mean()) == bits(other.mean())
    assert repr(one) == repr(other)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_is_read_back_to_the_bit(name, tmp_path):
    case = LEARNERS[name]
    learner = case.make()
    result = trained(learner, case.task, resample=True)
    result.save(tmp_path / "kept")
    assert_same(mp.load(tmp_path / "kept", learner=learner), result)
    try:
        again = mp.load(tmp_path / "kept")
    except IncompatibleError as error:
        assert "which no file can hold: make it as before" in str(error)  # noqa: PT017
        assert name not in FROM_FILE_ALONE
    else:
        assert_same(again, result)


@pytest.fixture(scope="module")
def result() -> MetaTrained:
    learner = small.learner("random", mp.rules.pool("layer", small.SIZES), penalty=mp.plasticity.ElasticNet(0.1, 0.2))
    return trained(mp.learners.freeze(learner, lambda it: it.penalty), small.Blobs())


@pytest.fixture
def folder(result, tmp_path):
    result.save(tmp_path / "kept")
    return tmp_path / "kept"


def test_training_goes_on_from_what_is_loaded(result, folder):
    more = [trained(one.trial(1), small.Blobs()) for one in (result, mp.load(str(folder)))]
    assert bits(more[0].history) == bits(more[1].history)
    assert bits(more[0].learner) == bits(more[1].learner)


def test_what_was_frozen_by_a_mask_stays_so(tmp_path):
    learner = mp.PlasticLearner(mp.MLP(small.SIZES), mp.rules.f_bio(), start=mp.MLP(small.SIZES).init(KEY))
    mask = eqx.tree_at(lambda it: it.rule.coefficients.values, jax.tree.map(lambda _: False, learner), True)
    result = trained(learner, small.Blobs(), trainable=mask)
    result.save(tmp_path)
    for found in (mp.load(tmp_path), mp.load(tmp_path, learner=learner)):
        assert_same(found, result)


def test_a_result_replaces_another_one(result, folder):
    fewer = mp.meta_train(
        small.learner(), small.Blobs(), mp.estimators.Reverse(), optax.adam(1e-3), 1, key=KEY, trials=2
    )  # fmt: skip
    fewer.save(folder)
    assert_same(mp.load(folder), fewer)
    assert len(list(folder.iterdir())) == 2


def test_another_learner_is_refused(folder):
    for other in (small.learner(), small.learner("direct", mp.rules.pool("layer", small.SIZES))):
        with pytest.raises(IncompatibleError, match="is the result of another learner than the one that is given"):
            mp.load(folder, learner=other)


def test_keys_and_types_that_numpy_does_not_know(tmp_path, result):
    class Odd(eqx.Module):
        pass

    learner = eqx.tree_at(lambda it: it.rule.coefficients.values, result._given, jnp.ones((3, 10), jnp.bfloat16))
    found = eqx.tree_at(lambda it: it.rule.coefficients.values, result.learner, jnp.ones((2, 3, 10), jnp.bfloat16) / 3)
    odd = MetaTrained(
        found, result.history, (0, 1), 1.0, learner, jax.random.split(jax.random.key(1, impl="rbg")), False
    )
    odd.save(tmp_path)
    assert_same(mp.load(tmp_path), odd)


def test_double_precision_is_needed_to_read_it(tmp_path, x64):
    result = trained(small.learner(rule=mp.rules.f_bio()), small.Blobs())
    result.save(tmp_path)
    assert_same(mp.load(tmp_path), result)
    with jax.enable_x64(False), pytest.raises(RunFolderError, match="set JAX_ENABLE_X64=1"):
        mp.load(tmp_path)


def edited(folder, **changes):
    entry = {**json.loads((folder / NAME).read_text()), **changes}
    del entry["checksum"]
    (folder / NAME).write_text(json.dumps(sealed(entry)))


CHANGES = [
    ({"format": "x"}, "is not the file of a result"),
    ({"version": "1"}, "is not the file of a result"),
    ({"version": 2}, "written by a later version of metaplax: its format is number 2"),
    ({"arrays": "../x.npz"}, "in another folder"),
    ({"arrays": "x.npz"}, "x.npz cannot be read"),
    ({"arrays": None}, "is damaged"),
    ({"sha256": "0"}, "does not fit its checksum"),
    ({"kinds": {}}, "is damaged"),
    ({"kinds": {"keys": "key dream"}}, "is damaged"),
    ({"kinds": None}, "is damaged"),
    ({"learner": {"class": "plasticity.Hebb"}}, "it holds no learner"),
    ({"learner": {"class": "learners.Dream"}}, "this version has no 'learners.Dream'"),
    ({"learner": [1]}, "it holds no learner"),
    ({"history": ["x"]}, "is damaged"),
    ({"masked": [1]}, "makes no sense"),
    ({"seconds": "x"}, "makes no sense"),
]


@pytest.mark.parametrize(("changes", "message"), CHANGES)
def test_damaged_and_foreign_files(changes, message, folder):
    edited(folder, **changes)
    with pytest.raises(RunFolderError, match=message) as caught:
        mp.load(folder)
    assert "\n" not in str(caught.value)


def test_a_learner_with_a_class_of_ones_own_has_to_be_given(folder):
    edited(folder, learner={"class": "system", "from": "os"})
    with pytest.raises(IncompatibleError, match=r"'system' is a class of your own, .*call load\(folder, learner="):
        mp.load(folder)


def test_other_damage(folder, tmp_path):
    with pytest.raises(RunFolderError, match=f"there is no {NAME} in it"):
        mp.load(tmp_path)
    for content in (b"", b"null", b"[]", b"\xff\x00", b'{"a":' * 100_000, b'{"format": "metaplax re'):
        copy = shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
        (copy / NAME).write_bytes(content)
        with pytest.raises(RunFolderError, match=r"is damaged|is not the file of"):
            mp.load(copy)
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(text.replace('"masked"', '"masket"'))
    with pytest.raises(RunFolderError, match="does not fit its checksum"):
        mp.load(folder)
    (folder / NAME).write_text(text)
    (arrays,) = folder.glob("*.npz")
    arrays.write_bytes(arrays.read_bytes()[:-9])
    with pytest.raises(RunFolderError, match=r"npz is damaged: it does not fit its checksum in meta-trained\.json"):
        mp.load(folder)
