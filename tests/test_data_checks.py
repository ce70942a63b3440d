"""Data and arguments are checked where they enter: what does not fit is refused in one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.data import CATALOG, DataError, ImageSet
from metaplax.data.files import VARIABLE
from metaplax.tasks import ContinualImages, FewShot, HoldOut, ImageStream, OnlineClassification, Table

KEY = jax.random.key(0)
CLASSES = ("zero", "one", "two")
BYTES = np.random.default_rng(0).integers(0, 256, (24, 5, 4), np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (24, 4, 4, 3), np.uint8)
LABELS = np.arange(24) % 3
FRACTIONS = BYTES / 255


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (BYTES, BYTES),
        (BYTES.tolist(), BYTES),
        (jnp.asarray(BYTES), BYTES),
        (COLOURS, COLOURS),
        *((BYTES.astype(dtype), BYTES) for dtype in ("int16", "uint16", "int32", "int64", "uint64")),
        *((FRACTIONS.astype(dtype), FRACTIONS.astype(dtype)) for dtype in ("float16", "float32", "float64")),
        (jnp.asarray(FRACTIONS, jnp.float32), FRACTIONS.astype(np.float32)),
        (BYTES > 99, np.where(BYTES > 99, 255, 0).astype(np.uint8)),
    ],
)
def test_images_of_any_kind_are_kept_without_loss(given, kept):
    images = ImageSet("some", given, LABELS, CLASSES).images
    assert images.dtype == kept.dtype
    np.testing.assert_array_equal(images, kept)


@pytest.mark.parametrize(
    "labels",
    [LABELS.tolist(), tuple(LABELS.tolist()), jnp.asarray(LABELS), *(LABELS.astype(d) for d in ("int8", "u1", "<u8"))],
)
def test_labels_of_any_kind(labels):
    found = ImageSet("some", BYTES, labels, list(CLASSES))
    np.testing.assert_array_equal(found.labels, LABELS)
    assert (found.labels.dtype, found.class_names) == (np.int32, CLASSES)


NAN = np.where(FRACTIONS > 0.5, np.nan, FRACTIONS)
SHAPE = r"images of some must have shape \(N, height, width\) or \(N, height, width, 3\), not "
PIXELS = "pixels of some must be integers from 0 to 255 or floating-point numbers from 0 to 1, but are of type "
RANGE = "some has 3 class names, so labels must be from 0 to 2, but they range from "


@pytest.mark.parametrize(
    ("images", "labels", "class_names", "sentence"),
    [
        (BYTES[0], LABELS, CLASSES, SHAPE + r"\(5, 4\)"),
        (BYTES[..., None], LABELS, CLASSES, SHAPE + r"\(24, 5, 4, 1\)"),
        (COLOURS.transpose(0, 3, 1, 2), LABELS, CLASSES, SHAPE + r"\(24, 3, 4, 4\)"),
        (COLOURS[None], LABELS, CLASSES, SHAPE + r"\(1, 24, 4, 4, 3\)"),
        (BYTES[:0], LABELS[:0], CLASSES, SHAPE + r"\(0, 5, 4\)"),
        (BYTES.astype(np.float32), LABELS, CLASSES, PIXELS + "float32 and range from 0.0 to 255.0"),
        (FRACTIONS - 0.5, LABELS, CLASSES, PIXELS + r"float64 and range from -0\.5"),
        (NAN, LABELS, CLASSES, PIXELS + "float64 and range from nan"),
        (BYTES.astype(int) - 1, LABELS, CLASSES, PIXELS + "int64 and range from -1"),
        (BYTES.astype(int) + 1, LABELS, CLASSES, PIXELS + "int64 and range from 1 to 256"),
        ((BYTES > 99).astype(int), LABELS, CLASSES, "pixels of some are the integers 0 and 1"),
        (BYTES.astype(str), LABELS, CLASSES, "images of some must be integers or floating-point numbers, not <U3"),
        (BYTES + 1j, LABELS, CLASSES, "must be integers or floating-point numbers, not complex128"),
        (BYTES, LABELS[:-1], CLASSES, r"24 images of some need labels of shape \(24,\), not \(23,\)"),
        (BYTES, LABELS[:, None], CLASSES, r"need labels of shape \(24,\), not \(24, 1\)"),
        (BYTES, np.asarray(1), CLASSES, r"need labels of shape \(24,\), not \(\)"),
        (BYTES, LABELS + 1, CLASSES, RANGE + "1 to 3"),
        (BYTES, LABELS - 1, CLASSES, RANGE + "-1 to 1"),
        (BYTES, LABELS, (), "some has 0 class names"),
        (BYTES, LABELS.astype(float), CLASSES, "labels of some must be integers, not float64"),
        (BYTES, LABELS > 0, CLASSES, "labels of some must be integers, not bool"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(images, labels, class_names, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        ImageSet("some", images, labels, class_names)
    assert "\n" not in str(caught.value)


def image_set(kind: str, images: np.ndarray) -> ImageSet:
    return ImageSet(kind, images if kind == "bytes" else (images / 255).astype(np.float32), LABELS, CLASSES)


TASKS = {
    "online": lambda data: OnlineClassification(data, 2, 3, 2).sample(KEY),
    "few_shot": lambda data: FewShot(data, 2, 3, 2).sample(KEY),
    "continual": lambda data: ContinualImages(data, 2, 3, 2).sample(KEY),
    "hold_out": lambda data: HoldOut(*data.divided(8), (8, 8)).sample(KEY),
    "hold_out_test": lambda data: HoldOut(*data.divided(8), (8, 8), part="test", flat=False).sample(KEY),
    "stream": lambda data: ImageStream(*data.divided(8), 4).piece(jnp.arange(16), 3, 8),
    "stream_query": lambda data: ImageStream(*data.divided(8), 4).query(KEY),
}


@pytest.mark.parametrize("images", [BYTES, COLOURS], ids=["grey", "colour"])
@pytest.mark.parametrize("task", TASKS)
def test_pixels_are_in_the_unit_interval_in_every_task(task, images):
    bytes_, floats = (TASKS[task](image_set(kind, images)) for kind in ("bytes", "floats"))
    for first, second in zip(jax.tree.leaves(bytes_), jax.tree.leaves(floats), strict=True):
        assert first.dtype == second.dtype
        np.testing.assert_allclose(first, second, rtol=1e-6)
    largest = max(float(leaf.max()) for leaf in jax.tree.leaves(bytes_) if leaf.dtype == jnp.float32)
    assert 0.9 < largest <= 1


@pytest.mark.parametrize("make", [mp.data.glyphs, lambda: mp.data.load("none"), lambda: image_set("bytes", BYTES)])
@pytest.mark.parametrize("part", [lambda data: data, lambda data: data.by_class(), lambda data: data.take(slice(1))])
def test_arrays_of_a_set_are_read_only(make, part):
    data = part(make())
    for array in (data.images, data.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert BYTES.flags.writeable
    assert LABELS.flags.writeable


X, NUMBERS = np.random.default_rng(2).normal(size=(9, 2)), np.arange(9.0)


@pytest.mark.parametrize(
    ("x", "y", "outputs"),
    [
        (X, NUMBERS[:, None], None),
        (X.tolist(), NUMBERS[:, None].tolist(), None),
        (X.astype(np.float32), np.arange(9, dtype=np.uint8) % 3, 3),
        (jnp.asarray(X), (np.arange(9) % 3).tolist(), 3),
        (np.ones((9, 2), int), np.ones((9, 3, 2)), None),
    ],
)
def test_tables_of_any_kind_lose_no_row(x, y, outputs):
    table = Table(x, y, outputs).resample(KEY)
    episode = table.sample(KEY)
    assert table.classes == outputs
    assert (len(episode.support.x), len(episode.query.x)) == (4, 5)
    both = np.concatenate([episode.support.y, episode.query.y])
    np.testing.assert_allclose(both, np.asarray(y, np.float32)[np.asarray(table.order)])
    assert both.dtype == (np.float32 if outputs is None else np.int32)


@pytest.mark.parametrize(
    ("x", "y", "outputs", "sentence"),
    [
        (X, NUMBERS, None, r"y must have shape \(rows, outputs\), not \(9,\): reshape it to \(9, 1\)"),
        (X, LABELS[:9], None, "y of dtype int64 may be classes or numbers: give outputs"),
        (X, NUMBERS > 3, None, "y of dtype bool may be classes or numbers"),
        (X, LABELS[:9], 2, "labels y must be from 0 to 1, but range from 0 to 2"),
        (X, LABELS[:9] - 1, 3, "labels y must be from 0 to 2, but range from -1"),
        (X, NUMBERS, 9, r"labels y must be integers of shape \(rows,\), not float64"),
        (X, LABELS[:9, None], 3, r"labels y must be integers of shape \(rows,\), not int64 of shape \(9, 1\)"),
        (X, LABELS[:9], 0, "outputs must be at least 1"),
        (X, NUMBERS[:8, None], None, r"x has 9 rows, but y has shape \(8, 1\)"),
        (X, np.asarray(1.0), None, r"x has 9 rows, but y has shape \(\)"),
        (X[:, 0], NUMBERS[:, None], None, r"x must have shape \(rows, features\) with at least two rows, not \(9,\)"),
        (X[:1], NUMBERS[:1, None], None, "at least two rows"),
        (np.where(X > 1, np.nan, X), NUMBERS[:, None], None, "x of dtype float64 holds something else than finite"),
        (X, np.full((9, 1), np.inf), None, "y of dtype float64 holds something else than finite numbers"),
        (X.astype(str), NUMBERS[:, None], None, "x of dtype .* holds something else than finite numbers"),
    ],
)
def test_tables_that_do_not_fit_are_refused(x, y, outputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        Table(x, y, outputs)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("name", [name for name, dataset in CATALOG.items() if dataset.files])
def test_folders_are_given_as_text_or_path(name, kind, tmp_path, monkeypatch):
    nowhere = kind(tmp_path / "nowhere")
    readers = (mp.data.load, mp.data.fetch_all, lambda name, folder: CATALOG[name].load(data_dir=folder))
    for read in readers:
        with pytest.raises(DataError, match="nowhere does not exist or is not a folder"):
            read(name, nowhere)
    assert "does not exist" in mp.data.inspect((name,), nowhere)[0]["problem"]
    monkeypatch.setenv(VARIABLE, str(nowhere))
    with pytest.raises(DataError, match="nowhere does not exist"):
        mp.data.load(name)
    monkeypatch.setenv(VARIABLE, "~/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match=str(tmp_path / "nowhere")):
        mp.data.load(name)


# Arguments as they come from users, whose types nothing checks: in a process of its own, without type checks.
REFUSED = {
    "data.glyphs(per_class=0)": "per_class must be at least 1, not 0",
    "data.glyphs(per_class=1.5)": "per_class must be an integer, not 1.5",
    "data.glyphs(seed=-1)": "seed must be at least 0, not -1",
    "data.emnist('letters')": "kind must be one of 'balanced', 'digits', not 'letters'",
    "data.emnist(orientation='up')": "orientation must be one of 'upright', 'raw', not 'up'",
    "data.mnist('val')": "split must be one of 'train', 'test', not 'val'",
    "data.fashion_mnist('val')": "split must be one of 'train', 'test', not 'val'",
    "data.cifar10('val')": "split must be one of 'train', 'test', not 'val'",
    "data.omniglot('train')": "split must be one of 'background', 'evaluation', not 'train'",
    "data.omniglot(size=0)": "size must be at least 1, not 0",
    "data.miniimagenet('valid')": "split must be one of 'train', 'val', 'test', not 'valid'",
    "data.from_folder('nowhere', side=2.5)": "side must be an integer, not 2.5",
    "tasks.from_arrays([[1.0]] * 6, [0, 1] * 3, support=2.5, query=1)": "support must be an integer, not 2.5",
    "tasks.from_function(3)": "sample cannot be traced by JAX: TypeError: ",
    "tasks.OnlineClassification(images, ways=2.5)": "ways must be an integer, not 2.5",
    "tasks.OnlineClassification(images, 2, 1, 1, allowed=(0.5, 1.5))": "some has classes 0 to 2, not all of (0.5, 1.5)",
    "tasks.FewShot(images, 2, 1, 1, std=(0.0,))": "std must be positive, not (0.0,)",
    "tasks.FewShot(images, 2, 1, 1, mean=(0.1, 0.2))": "mean must be 1 finite numbers, one per channel",
    "tasks.FewShot(images, 2, 1, 1, mean=(float('nan'),))": "mean must be 1 finite numbers, one per channel",
    "tasks.HoldOut(images, images, (2, 2), std=())": "std must be 1 finite numbers, one per channel, not ()",
    "tasks.HoldOut(images, images, (2, 2), part='tests')": "part must be one of 'validation', 'test', 'all', not",
    "tasks.HoldOut(images, images, (0, 2))": "learn_from must be at least 1, not 0",
    "tasks.ImageStream(images, images, 0)": "queries must be at least 1, not 0",
    "tasks.ContinualImages(images, 2, 1, 1, order='contiual')": "order must be one of 'iid', 'continual', not 'cont",
    "tasks.ContinualImages(images, 2, 1, 1, reserved=-1)": "reserved must be at least 0, not -1",
    "tasks.Sinusoids(order='mixed')": "order must be one of 'iid', 'continual', not 'mixed'",
    "tasks.Sinusoids(pool_index=-1)": "pool_index must be at least 0, not -1",
    "tasks.SpikingSinusoids(shots=2.5)": "shots must be an integer, not 2.5",
    "tasks.SpikingPatterns(peak=0.0)": "peak is a probability above 0, but 0.0 was given",
}
PROGRAM = """
import json, sys
from metaplax import data, tasks
loaded = [name for name in ("PIL", "matplotlib", "pooch", "requests") if name in sys.modules]
images = data.ImageSet("some", [[[0, 9]]] * 6, [0, 1, 2] * 2, "abc")
said = {}
for call in json.loads(sys.argv[1]):
    try:
        said[call] = repr(eval(call))
    except ValueError as error:
        said[call] = str(error)
print(json.dumps({"loaded": loaded, "said": said}))
"""


@pytest.fixture(scope="module")
def without_type_checks() -> dict:
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(REFUSED))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("call", REFUSED)
def test_arguments_that_make_no_sense_are_refused(call, without_type_checks):
    assert without_type_checks["said"][call].startswith(REFUSED[call])


def test_importing_loads_nothing_that_only_some_data_need(without_type_checks):
    assert without_type_checks["loaded"] == []
