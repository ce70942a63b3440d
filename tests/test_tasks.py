"""Episodes: fresh images, distinct classes, support and query disjoint, one pure function of the key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.data import ImageSet
from metaplax.tasks import OnlineClassification


def numbered(counts=(9, 7, 8, 12), shuffled=True) -> ImageSet:
    """Images whose first pixel is the class and second the index within it."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.zeros((len(labels), 2, 2), np.uint8)
    images[:, 0, 0] = labels
    images[:, 0, 1] = np.concatenate([np.arange(n) for n in counts])
    shuffle = np.random.default_rng(0).permutation(len(labels)) if shuffled else np.arange(len(labels))
    return ImageSet("numbered", images[shuffle], labels[shuffle].astype(np.int32), tuple("abcd"[: len(counts)]))


def seen(part):
    pixels = np.rint(np.asarray(part.x) * 255).astype(int)
    return pixels[:, 0], pixels[:, 1]


@pytest.mark.parametrize("seed", range(5))
def test_distinct_classes_and_no_image_twice(seed):
    task = OnlineClassification(numbered(), 3, 4, 3)
    episode = jax.jit(lambda key: task.sample(key))(jax.random.key(seed))
    assert episode.support.x.shape == (12, 4)
    assert episode.query.x.shape == (9, 4)
    pairs = []
    for part in (episode.support, episode.query):
        label, index = seen(part)
        np.testing.assert_array_equal(label, part.y)
        pairs += list(zip(label.tolist(), index.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    classes, counts = np.unique(episode.support.y, return_counts=True)
    assert len(classes) == 3
    assert set(counts) == {4}
    assert set(np.unique(episode.query.y)) == set(classes)


def test_every_image_of_a_class_gets_its_turn():
    task = OnlineClassification(numbered(), 1, 1, 1)
    episodes = jax.vmap(task.sample)(jax.random.split(jax.random.key(0), 600))
    drawn = set(zip(*(a.tolist() for a in seen(jax.tree.map(lambda x: x[:, 0], episodes.query))), strict=True))
    assert drawn == {(label, i) for label, n in enumerate((9, 7, 8, 12)) for i in range(n)}


def test_the_order_is_random_and_a_function_of_the_key():
    task = OnlineClassification(numbered(), 3, 4, 3)
    orders = [np.asarray(task.sample(jax.random.key(s)).support.y).tolist() for s in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_as_released_draws_with_replacement_and_the_first_images():
    task = OnlineClassification(numbered(shuffled=False), 5, 4, 3, replacement=True, fixed_images=True)
    for seed in range(4):
        episode = task.sample(jax.random.key(seed))
        assert set(seen(episode.support)[1].tolist()) == {0, 1, 2, 3}
        assert set(seen(episode.query)[1].tolist()) == {4, 5, 6}
    classes = jax.vmap(task.sample)(jax.random.split(jax.random.key(0), 300)).query.y[:, ::3]
    repeated = np.mean([len(set(row.tolist())) < 4 for row in np.asarray(classes)])
    assert repeated > 0.5


def test_pixels_are_fractions():
    x = OnlineClassification(numbered(), 3, 4, 3).sample(jax.random.key(0)).support.x
    assert x.dtype == jnp.float32
    assert 0 <= x.min() <= x.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 5, 3), "hold 8 different images of a class, but numbered has only 7 images of class 'b'"),
        ((5, 1, 1), "has 4 classes, too few for 5"),
        ((0, 1, 1), "ways must be at least 1, not 0"),
        ((2, -1, 1), "shots must be at least 1, not -1"),
    ],
)
def test_impossible_episodes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        OnlineClassification(numbered(), *arguments)


def test_glyphs_make_full_size_episodes():
    episode = jax.eval_shape(OnlineClassification(mp.data.glyphs()).sample, jax.random.key(0))
    assert episode.support.x.shape == (250, 784)
    assert episode.query.y.shape == (50,)
