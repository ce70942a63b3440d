"""Streams of images and of sinusoids: what they hold, in which order, and what cannot be drawn."""

import jax
import numpy as np
import pytest

from metaplax.tasks import ContinualImages, Sinusoids

KEY = jax.random.key(3)


def glyph_task(few, **more):
    return ContinualImages(few, **{"ways": 3, "shots": 4, "queries": 2, **more})


def rows_of(task, images):
    """Which image of the bank each one is."""
    bank = np.asarray(task.bank.images).reshape(len(task.bank.images), -1)
    return [int(np.argmin(np.abs(bank - np.round(255 * np.ravel(image))).sum(1))) for image in np.asarray(images)]


def test_streams_of_images_are_disjoint_from_their_queries(few_glyphs):
    task = glyph_task(few_glyphs)
    given = task.sample(KEY)
    assert given.support.x.shape == (12, 1, 28, 28)
    assert given.query.y.tolist() == np.repeat(given.query.y[::2], 2).tolist()
    assert sorted(set(given.query.y.tolist())) == [0, 1, 2]
    support, query = rows_of(task, given.support.x[:, 0]), rows_of(task, given.query.x)
    assert len(set(support)) == 12
    assert not set(support) & set(query)


def test_class_by_class_means_one_after_the_other(few_glyphs):
    given = glyph_task(few_glyphs, order="continual").sample(KEY)
    labels = given.support.y[:, 0].tolist()
    assert labels == np.repeat(labels[::4], 4).tolist()
    mixed = glyph_task(few_glyphs, order="iid").sample(KEY).support.y[:, 0].tolist()
    assert mixed != labels
    assert sorted(mixed) == sorted(labels)


def test_reserved_images_are_never_learned_from(few_glyphs):
    task = glyph_task(few_glyphs, reserved=5, queries=5, shots=7)
    last = {row for row in range(len(task.bank.images)) if row % 12 >= 7}
    given = task.sample(KEY)
    assert not set(rows_of(task, given.support.x[:, 0])) & last
    assert set(rows_of(task, given.query.x)) <= last


def test_overlap_numbers_and_paper_as_released(few_glyphs):
    task = glyph_task(few_glyphs, shots=12, queries=12, overlap=True, dark=True, labels=40)
    given = task.sample(KEY)
    assert set(rows_of(task, 1 - given.support.x[:, 0])) == set(rows_of(task, 1 - given.query.x))
    assert task.classes == 40
    assert max(given.query.y.tolist()) > 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ways": 0}, "ways must be at least 1"),
        ({"ways": 48}, "has 47 classes, too few for 48"),
        ({"shots": 11}, "has only 12 images"),
        ({"reserved": 1}, "do not fit into 1 reserved"),
        ({"labels": 2}, "cannot be told apart by 2 numbers"),
    ],
)
def test_streams_that_cannot_be_drawn_are_refused(few_glyphs, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        glyph_task(few_glyphs, **options)


def test_sinusoids_are_those_of_their_slots():
    task = Sinusoids(3, 4, 2, 5, order="continual", pool=6).resample(KEY)
    given = task.sample(KEY)
    assert given.support.x.shape == (12, 2, 4)
    assert given.query.y.shape == (15, 1)
    slots = np.argmax(given.query.x[:, :3], axis=1)
    assert slots.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    for slot in range(3):
        mine = given.query.x[slots == slot, 3]
        fits = [
            np.abs(a * np.sin(mine + p) - given.query.y[slots == slot, 0]).max()
            for a, p in zip(task.amplitudes, task.phases, strict=True)
        ]
        assert min(fits) < 1e-5
    assert np.abs(given.support.x[..., 3]).max() <= 5
    other = Sinusoids(3, 4, 2, 5, pool=6, pool_index=1).resample(KEY)
    assert np.abs(other.amplitudes - task.amplitudes).max() > 0
    with pytest.raises(ValueError, match="pool of 2 functions is too small"):
        Sinusoids(3, pool=2)
