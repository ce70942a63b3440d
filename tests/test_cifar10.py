"""CIFAR-10 from records, wherever they lie, and the honest name of what is not the published data."""

import dataclasses
import hashlib
import io
import sys
import tarfile

import jax
import numpy as np
import pytest

import metaplax as mp
from metaplax.data import DataError, files
from metaplax.data.cifar10 import ARCHIVE, CIFAR10_FILES, read_batch
from metaplax.experiments import RunOptions, preset, run
from metaplax.experiments.zucchet2022.metaopt import MetaoptCIFAR10

RECORDS = 20
NAMES = [file.name for file in CIFAR10_FILES]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def batch(seed: int) -> bytes:
    records = np.random.default_rng(seed).integers(0, 256, (RECORDS, 3073), np.uint8)
    records[:, 0] = np.arange(RECORDS) % 10
    return records.tobytes()


BATCHES = {name: batch(seed) for seed, name in enumerate(NAMES)}


def place(folder, batches=BATCHES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in batches.items():
        (folder / name).write_bytes(content)


def pack(path, batches=BATCHES, prefix="cifar-10-batches-bin/", extra=()):
    with tarfile.open(path, "w:gz") as archive:
        for entry in extra:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
        for name, content in batches.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def cache(offline):
    return offline / "metaplax" / "cifar10"


@pytest.fixture
def publish(monkeypatch):
    """Make small files the published ones: an archive, or batches."""

    def publish(archive=None, batches=None):
        archive = dataclasses.replace(ARCHIVE, md5=files.md5_of(archive)) if archive else ARCHIVE
        published = tuple(dataclasses.replace(file, archive=archive) for file in CIFAR10_FILES)
        if batches:
            md5 = {name: hashlib.md5(content).hexdigest() for name, content in batches.items()}
            published = tuple(dataclasses.replace(file, md5=md5.get(file.name, file.md5)) for file in published)
        monkeypatch.setattr(sys.modules["metaplax.data.cifar10"], "CIFAR10_FILES", published)
        catalog = mp.data.CATALOG
        monkeypatch.setitem(catalog, "cifar10", dataclasses.replace(catalog["cifar10"], files=published))

    return publish


def test_planes_become_channels(tmp_path):
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    pixels[1, 0, 2, 5], pixels[1, 1, 2, 6], pixels[1, 2, 31, 0] = 10, 20, 30
    records = np.concatenate([np.array([[3], [9]], np.uint8), pixels.reshape(2, -1)], axis=1)
    assert records[1, 1 + 32 * 2 + 5] == 10
    assert records[1, 1 + 1024 + 32 * 2 + 6] == 20
    (tmp_path / "a.bin").write_bytes(records.tobytes())
    images, labels = read_batch(tmp_path / "a.bin")
    assert images.shape == (2, 32, 32, 3)
    assert images[1, 2, 5].tolist() == [10, 0, 0]
    assert images[1, 2, 6].tolist() == [0, 20, 0]
    assert images[1, 31, 0].tolist() == [0, 0, 30]
    assert images.sum() == 60
    assert labels.tolist() == [3, 9]


BROKEN = {
    "truncated": (BATCHES[NAMES[5]][:-10], r"test_batch\.bin is truncated or damaged: 61,450 bytes are not a whole"),
    "empty": (b"", r"test_batch\.bin is truncated or damaged: 0 bytes"),
    "label": (b"\x0a" + BATCHES[NAMES[5]][1:], r"test_batch\.bin holds label 10, but cifar10 has 10 classes"),
    "html": (b"<!DOCTYPE html><html>log in</html>", r"test_batch\.bin is a web page and not data"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.filterwarnings("ignore:.*is not the published file:UserWarning")
def test_broken_batches(case, tmp_path):
    content, message = BROKEN[case]
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        mp.data.cifar10("test", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", ["", "cifar10", "cifar-10-batches-bin", "cifar-10/cifar-10-batches-bin"])
def test_batches_by_hand_are_named_a_surrogate(folder, tmp_path):
    place(tmp_path / folder)
    with pytest.warns(UserWarning, match=r"data_batch_\d\.bin is not the published file") as warned:
        data = mp.data.cifar10(data_dir=tmp_path)
    assert len(warned) == 5
    assert data.name == "cifar10 (jpeg surrogate)"
    assert data.class_names == CLASSES
    assert data.images.shape == (5 * RECORDS, 32, 32, 3)
    assert data.counts().tolist() == [10] * 10
    third, _ = read_batch(tmp_path / folder / "data_batch_3.bin")
    np.testing.assert_array_equal(data.images[2 * RECORDS : 3 * RECORDS], third)
    with pytest.warns(UserWarning, match=r"test_batch\.bin is not the published file"):
        test = mp.data.cifar10("test", data_dir=tmp_path)
    np.testing.assert_array_equal(test.images, read_batch(tmp_path / folder / "test_batch.bin")[0])


def test_published_batches_by_hand_keep_the_name(tmp_path, publish):
    place(tmp_path / "cifar-10-batches-bin")
    publish(batches=BATCHES)
    assert mp.data.cifar10(data_dir=tmp_path).name == "cifar10"


def test_copies_are_not_mixed_with_published_batches(tmp_path, publish):
    place(tmp_path)
    publish(batches={"data_batch_1.bin": BATCHES["data_batch_1.bin"]})
    with (
        pytest.warns(UserWarning, match="is not the published file"),
        pytest.raises(DataError, match=r"data_batch_2\.bin and .*data_batch_1\.bin do not belong together"),
    ):
        mp.data.cifar10(data_dir=tmp_path)


@pytest.mark.parametrize("folder", ["", "cifar10", "cifar-10"])
@pytest.mark.parametrize("prefix", ["cifar-10-batches-bin/", "./cifar-10-batches-bin/"])
def test_the_published_archive_is_unpacked_into_the_cache(folder, prefix, tmp_path, cache, publish):
    (tmp_path / folder).mkdir(exist_ok=True)
    publish(pack(tmp_path / folder / "cifar-10-binary.tar.gz", prefix=prefix), BATCHES)
    (state,) = mp.data.inspect(("cifar10",), tmp_path)
    assert (state["problem"], state["state"]) == (None, "ready")
    mp.data.fetch_all("cifar10", tmp_path)
    assert sorted(path.name for path in cache.iterdir()) == sorted(NAMES)
    data = mp.data.cifar10()
    assert data.name == "cifar10"
    np.testing.assert_array_equal(data.images[:RECORDS], read_batch(cache / "data_batch_1.bin")[0])


def test_an_unverified_archive_never_becomes_the_published_data(tmp_path):
    pack(tmp_path / "cifar-10-binary.tar.gz")
    with pytest.warns(UserWarning, match=r"cifar-10-binary\.tar\.gz is not the published file"):
        assert mp.data.cifar10(data_dir=tmp_path).name == "cifar10 (jpeg surrogate)"
    with pytest.raises(DataError, match="could not be downloaded"):
        mp.data.cifar10()


def test_published_batches_packed_again_keep_the_name(tmp_path, publish):
    pack(tmp_path / "cifar-10-binary.tar.gz")
    publish(batches=BATCHES)
    with pytest.warns(UserWarning, match=r"cifar-10-binary\.tar\.gz is not the published file"):
        assert mp.data.cifar10("test", data_dir=tmp_path).name == "cifar10"


def entry(name, **fields):
    found = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def test_only_the_named_files_are_taken_from_an_archive(tmp_path, cache, publish):
    evil = [
        entry("../evil.bin", size=3),
        entry("/evil.bin", size=3),
        entry("cifar-10-batches-bin/readme.html", size=3),
        entry("cifar-10-batches-bin/test_batch.bin", type=tarfile.SYMTYPE, linkname="../../secret"),
        entry("../../cifar-10-batches-bin/test_batch.bin", size=3),
    ]
    publish(pack(tmp_path / "cifar-10-binary.tar.gz", extra=evil), BATCHES)
    before = sorted(tmp_path.rglob("*"))
    mp.data.fetch_all("cifar10", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert sorted(path.name for path in cache.iterdir()) == sorted(NAMES)
    assert (cache / "test_batch.bin").read_bytes() == BATCHES["test_batch.bin"]


def test_a_link_in_the_place_of_a_batch_is_not_followed(tmp_path, publish):
    link = entry("cifar-10-batches-bin/test_batch.bin", type=tarfile.SYMTYPE, linkname="/etc/hostname")
    publish(pack(tmp_path / "cifar-10-binary.tar.gz", {}, extra=[link]))
    with pytest.raises(DataError, match=r"there is no file .*test_batch\.bin' in the archive"):
        mp.data.cifar10("test", data_dir=tmp_path)


@pytest.mark.parametrize("keep", [0, 30, 3000, -3000], ids=["empty", "header", "early", "late"])
def test_broken_archives(keep, tmp_path):
    path = pack(tmp_path / "cifar-10-binary.tar.gz")
    path.write_bytes(path.read_bytes()[:keep])
    with (
        pytest.warns(UserWarning, match="is not the published file"),
        pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is truncated or damaged") as caught,
    ):
        mp.data.cifar10("test", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    sentence = r"^cifar-10-binary\.tar\.gz could not be downloaded from https://.* --data-dir or METAPLAX_DATA$"
    with pytest.raises(DataError, match=sentence):
        mp.data.cifar10(data_dir=tmp_path)
    (state,) = mp.data.inspect(("cifar10",), tmp_path)
    assert state["state"] == "not here: metaplax data fetch cifar10"
    place(tmp_path, {name: BATCHES[name] for name in NAMES[:3]})
    (state,) = mp.data.inspect(("cifar10",), tmp_path, parse=True)
    assert state["problem"] == "data_batch_4.bin, data_batch_5.bin, test_batch.bin missing"


def test_verifying_reads_every_batch(tmp_path):
    place(tmp_path / "cifar-10-batches-bin")
    (state,) = mp.data.inspect(("cifar10",), tmp_path, parse=True)
    assert state["problem"] is None
    assert state["state"].startswith("placed by hand")
    assert "100 + 20 images of 10 classes read" in state["state"]
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"\0" * 3000)
    (state,) = mp.data.inspect(("cifar10",), tmp_path, parse=True)
    assert "3,000 bytes are not a whole number of records of 3,073" in state["problem"]


def test_tasks_flatten_the_colours(tmp_path):
    place(tmp_path)
    with pytest.warns(UserWarning, match="is not the published file"):
        data = mp.data.cifar10(data_dir=tmp_path)
    first, second = data.divided(20)
    assert (first.images.shape, second.images.shape) == ((80, 32, 32, 3), (20, 32, 32, 3))
    task = mp.tasks.OnlineClassification(data, ways=2, shots=3, queries=2)
    assert len(task.bank.images) == 5 * RECORDS
    assert jax.eval_shape(lambda key: task.sample(key), jax.random.key(0)).support.x.shape == (6, 3072)


def test_meta_optimisation_from_files_to_result(tmp_path, monkeypatch):
    monkeypatch.setattr(MetaoptCIFAR10, "arms", ("cml",))
    place(tmp_path / "cifar-10-batches-bin")
    experiment = preset(MetaoptCIFAR10.name, "smoke")
    with pytest.warns(UserWarning, match="is not the published file"):
        folder = run(experiment, RunOptions(data_dir=tmp_path, out=tmp_path / "runs"))
    found = mp.reports.read(folder.path)
    assert found.config["data"] == "cifar10 (jpeg surrogate)"
    assert list(found.labels) == ["cml"]
    assert all(np.all(np.isfinite(found.series[arm]["loss"])) for arm in found.labels)
    assert set(found.measured("loss")) == {"cml.test", "cml.all"}
    learner = experiment.learner("cml", experiment.studies(*_loaded(tmp_path))["cml"].task)
    assert learner.network.side == 32
    assert float(learner.decay[0].layer.weight[0, 0, 0, 0]) == pytest.approx(1e-3)


def _loaded(folder):
    def load(name, split=None):
        with pytest.warns(UserWarning, match="is not the published file"):
            return mp.data.load(name, folder, split)

    return load("cifar10"), load
