"""Classes that meta-training may see, and those that are held out."""

from itertools import pairwise

import jax
import numpy as np
import pytest

from metaplax.data import ImageSet
from metaplax.experiments import ConfigError
from metaplax.experiments.shervani2023.figures import Fig3
from metaplax.experiments.shervani2023.online import meta_training_classes
from metaplax.tasks import OnlineClassification


def images(counts) -> ImageSet:
    """Images of one pixel, which is the class."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    shuffled = np.random.default_rng(0).permutation(labels)
    names = tuple(f"class {label}" for label in range(len(counts)))
    return ImageSet("numbered", shuffled.astype(np.uint8)[:, None, None], shuffled, names)


HELD_OUT = {1, 2, 4, 11, 18, 19, 20, 21, 34, 42}
SIX = images((5, 5, 2, 7, 5, 5))


def drawn(task, episodes=60) -> tuple[np.ndarray, np.ndarray]:
    """Support and query labels of many episodes; the images are those of their labels."""
    keys = jax.random.split(jax.random.key(0), episodes)
    found = jax.jit(jax.vmap(task.sample))(keys)
    for part in (found.support, found.query):
        np.testing.assert_array_equal(np.rint(part.x[..., 0] * 255), part.y)
    return np.asarray(found.support.y), np.asarray(found.query.y)


@pytest.mark.parametrize(
    ("allowed", "ways", "options"),
    [
        ((0, 3, 4), 2, {}),
        ((5, 0, 1, 3), 4, {}),
        ([4], 1, {}),
        ((3, 1), 4, {"replacement": True}),
        ((1, 3, 5), 2, {"fixed_images": True}),
    ],
)
def test_only_allowed_classes_are_drawn_and_all_of_them(allowed, ways, options):
    # Class 2 has too few images; that does not matter as long as it is not allowed.
    support, query = drawn(OnlineClassification(SIX, ways, 3, 2, allowed=allowed, **options))
    assert set(support.ravel()) == set(query.ravel()) == set(allowed)
    if not options.get("replacement"):
        assert all(len(set(labels)) == ways for labels in support)
    for labels, queries in zip(support, query, strict=True):
        assert set(labels) == set(queries)


def test_allowing_all_is_the_default():
    first, second = (drawn(OnlineClassification(SIX, 3, 1, 1, allowed=allowed), 10) for allowed in (None, range(6)))
    np.testing.assert_array_equal(first, second)


def test_labels_keep_their_meaning():
    assert OnlineClassification(SIX, 2, 3, 2, allowed=(4, 5)).classes == 6


@pytest.mark.parametrize(
    ("allowed", "ways", "options", "sentence"),
    [
        ((0, 6), 1, {}, r"numbered has classes 0 to 5, not all of \(0, 6\)$"),
        ((-1, 3), 1, {}, r"numbered has classes 0 to 5, not all of \(-1, 3\)$"),
        ((0, 1), 3, {}, "^numbered has 2 classes, too few for 3 different ones per episode$"),
        ((), 1, {}, "^numbered has 0 classes, too few for 1"),
        ((), 1, {"replacement": True}, "^numbered has 0 classes, too few for 1"),
        ((0, 2), 1, {}, "5 different images of a class, but numbered has only 2 images of class 'class 2'$"),
    ],
)
def test_impossible_classes_are_refused_with_a_sentence(allowed, ways, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        OnlineClassification(SIX, ways, 3, 2, allowed=allowed, **options)


def test_a_label_that_is_given_twice_is_no_second_class():
    with pytest.raises(ValueError, match="too few"):
        OnlineClassification(SIX, 2, 3, 2, allowed=(3, 3))


@pytest.mark.parametrize(("classes", "held_out"), [(47, 0), (47, 10), (47, 46), (47, 47), (964, 100), (3, 1)])
def test_so_many_classes_are_left(classes, held_out):
    left = meta_training_classes(classes, held_out)
    assert len(left) == len(set(left)) == classes - held_out
    assert set(left) <= set(range(classes))
    assert list(left) == sorted(left)
    assert meta_training_classes(classes, held_out) == left


def test_holding_out_more_leaves_some_of_the_same_classes():
    left = [set(meta_training_classes(47, held_out)) for held_out in range(48)]
    assert all(more > fewer for more, fewer in pairwise(left))


def test_the_held_out_classes_are_the_same_in_every_run():
    assert set(range(47)) - set(meta_training_classes(47, 10)) == HELD_OUT


@pytest.mark.parametrize("seed", [1, 2])
def test_meta_training_never_sees_a_class_that_is_held_out(seed):
    data = images((3,) * 47)
    experiment = Fig3(seed=seed, held_out=10, shots=2, queries=1, ways=4)
    support, query = drawn(experiment.task(data), 200)
    assert set(support.ravel()) == set(query.ravel()) == set(range(47)) - HELD_OUT


def test_nothing_is_held_out_by_default():
    support, _ = drawn(Fig3(shots=2, queries=1, ways=2).task(images((3,) * 5)))
    assert set(support.ravel()) == set(range(5))


@pytest.mark.parametrize(
    ("held_out", "sentence"),
    [
        (3, "numbered has 2 classes, too few for 3"),
        (5, "has 0 classes"),
        (9, "has 0 classes"),
        (-1, "must not be negative"),
    ],
)
def test_holding_out_too_many_is_refused(held_out, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Fig3(held_out=held_out, shots=2, queries=1, ways=3).task(images((3,) * 5))
