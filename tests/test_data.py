"""Reading published files, and refusing everything else in one sentence."""

import gzip
import hashlib
import io
import sys
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

import metaplax as mp
from metaplax.data import DataError, files
from metaplax.data.glyphs import _rendered
from metaplax.data.handwriting import read_idx


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (47 * 3, 28, 28))
LABELS = np.repeat(np.arange(47), 3)


@pytest.fixture
def emnist_folder(tmp_path):
    (tmp_path / "emnist").mkdir()
    for part, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
        path = tmp_path / "emnist" / f"emnist-balanced-test-{part}-ubyte.gz"
        path.write_bytes(gzip.compress(idx(array)))
    return tmp_path


pytestmark = pytest.mark.usefixtures("offline")


def test_idx_round_trip(tmp_path):
    for name, pack in (("a", lambda b: b), ("a.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(idx(IMAGES)))
        np.testing.assert_array_equal(read_idx(tmp_path / name), IMAGES)


GOOD = idx(IMAGES[:4])
BROKEN = {
    "truncated": (GOOD[:-10], "a", r"truncated or damaged: 3,136 values in its header, 3,126 in the file"),
    "header": (GOOD[:6], "a", "incomplete header"),
    "too_long": (GOOD + b"x", "a", "truncated or damaged"),
    "magic": (b"\x01\x02" + GOOD[2:], "a", "not an IDX file"),
    "type": (GOOD[:2] + b"\x0d" + GOOD[3:], "a", "unsigned bytes"),
    "empty": (b"", "a", "not an IDX file"),
    "cut_gzip": (gzip.compress(GOOD)[:-20], "a.gz", "truncated or damaged gzip"),
    "flipped_gzip": (gzip.compress(GOOD)[:100] + b"\0\0\0\0" + gzip.compress(GOOD)[104:], "a.gz", "damaged gzip"),
    "html": (b"\n<!DOCTYPE html><html>log in</html>", "a.gz", "is a web page and not data"),
    "plain_named_gz": (GOOD, "a.gz", "not a gzip file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_idx_files(case, tmp_path):
    content, name, message = BROKEN[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert (tmp_path / name).read_bytes() == content


def test_emnist_by_hand_is_turned_upright_and_named_a_surrogate(emnist_folder):
    with pytest.warns(UserWarning, match=r"emnist-balanced-test-.*placed by hand"):
        data = mp.data.emnist(data_dir=emnist_folder)
    assert data.name == "emnist (surrogate)"
    assert len(data.class_names) == 47
    np.testing.assert_array_equal(data.images, IMAGES.transpose(0, 2, 1))
    np.testing.assert_array_equal(data.labels, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(mp.data.emnist(data_dir=emnist_folder, orientation="raw").images, IMAGES)


def test_the_folder_may_come_from_the_environment(emnist_folder, monkeypatch):
    monkeypatch.setenv(files.VARIABLE, str(emnist_folder))
    with pytest.warns(UserWarning, match="placed by hand"):
        assert len(mp.data.load("emnist").images) == len(IMAGES)


def test_published_emnist_archive_is_unpacked(tmp_path, monkeypatch):
    archive = tmp_path / "gzip.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("gzip/emnist-balanced-test-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES)))
        z.writestr("gzip/emnist-balanced-test-labels-idx1-ubyte.gz", gzip.compress(idx(LABELS)))
    published = files.PublishedFile("gzip.zip", "http://x", files.md5_of(archive))
    monkeypatch.setattr(mp.data.handwriting, "EMNIST_ARCHIVE", published)
    data = mp.data.emnist(data_dir=tmp_path)
    assert data.name == "emnist"
    np.testing.assert_array_equal(data.labels, LABELS)


def test_an_unverified_archive_never_becomes_the_published_data(tmp_path):
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as z:
        z.writestr("gzip/emnist-balanced-test-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES)))
        z.writestr("gzip/emnist-balanced-test-labels-idx1-ubyte.gz", gzip.compress(idx(LABELS)))
    with pytest.warns(UserWarning, match=r"gzip\.zip is not the published file"):
        assert mp.data.emnist(data_dir=tmp_path).name == "emnist (surrogate)"
    with pytest.raises(DataError, match="could not be downloaded"):
        mp.data.emnist()


def test_a_damaged_file_in_the_cache_is_fetched_again(offline):
    folder = offline / "metaplax" / "mnist"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"cut short")
    with pytest.raises(DataError, match="could not be downloaded"):
        mp.data.mnist()


def test_verifying_reads_every_file(emnist_folder):
    for part, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
        path = emnist_folder / "emnist" / f"emnist-balanced-train-{part}-ubyte.gz"
        path.write_bytes(gzip.compress(idx(array)))
    (state,) = mp.data.inspect(("emnist",), emnist_folder, parse=True)
    assert state["problem"] is None
    assert "141 + 141 images of 47 classes read" in state["state"]
    path.write_bytes(b"garbage")
    (state,) = mp.data.inspect(("emnist",), emnist_folder, parse=True)
    assert "not a gzip file" in state["problem"]
    (state,) = mp.data.inspect(("mnist",), emnist_folder, parse=True)
    assert "missing" in state["problem"]


def test_images_and_labels_must_belong_together(emnist_folder):
    path = emnist_folder / "emnist" / "emnist-balanced-test-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(LABELS[:-1])))
    with pytest.warns(UserWarning, match="placed by hand"), pytest.raises(DataError, match="do not belong together"):
        mp.data.emnist(data_dir=emnist_folder)
    path.write_bytes(gzip.compress(idx(LABELS + 9)))
    with (
        pytest.warns(UserWarning, match="placed by hand|not the published file"),
        pytest.raises(
            DataError,
            match=r"do not belong together: emnist .* labels must be from 0 to 46, but they range from 9 to 55",
        ),
    ):
        mp.data.emnist(data_dir=emnist_folder)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match=r"could not be downloaded .* --data-dir or METAPLAX_DATA"):
        mp.data.mnist(data_dir=tmp_path)
    with pytest.raises(DataError, match="does not exist or is not a folder"):
        mp.data.mnist(data_dir=tmp_path / "nowhere")


def test_a_download_with_a_wrong_checksum_is_refused(monkeypatch, offline):
    def wrong(*_, **__):
        raise ValueError("MD5 hash does not match")

    monkeypatch.setattr("pooch.retrieve", wrong)
    with pytest.raises(DataError, match="its checksum is not the published one"):
        mp.data.mnist()
    assert not list(offline.rglob("*ubyte*"))


@pytest.mark.parametrize("installed", [True, False])
def test_progress_is_shown_where_it_can_be(installed, monkeypatch, tmp_path):
    asked = []

    def retrieve(*_, progressbar, **__):
        asked.append(progressbar)
        return tmp_path / "downloaded"

    monkeypatch.setattr("pooch.retrieve", retrieve)
    monkeypatch.setattr(files, "find_spec", lambda name: object() if installed else None)
    mp.data.fetch_all("mnist", progress=True)
    assert asked == [installed] * 4


def omniglot_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def drawing() -> bytes:
    page = Image.new("1", (105, 105), 1)
    page.paste(0, (40, 10, 60, 95))
    stream = io.BytesIO()
    page.save(stream, "PNG")
    return stream.getvalue()


def test_omniglot_strokes_are_bright(tmp_path):
    names = [f"images_background/{a}/character0{c}/000{i}.png" for a in "AB" for c in (1, 2) for i in range(3)]
    omniglot_zip(tmp_path / "images_background.zip", dict.fromkeys(names, drawing()))
    with pytest.warns(UserWarning, match="not the published file"):
        data = mp.data.omniglot(data_dir=tmp_path)
    assert data.images.shape == (12, 28, 28)
    assert data.class_names == ("A/character01", "A/character02", "B/character01", "B/character02")
    assert data.images[0, 14, 12] > 200
    assert data.images[0, 14, 2] == 0


@pytest.mark.parametrize("member", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"])
def test_archives_that_reach_out_are_refused(member, tmp_path):
    omniglot_zip(tmp_path / "images_background.zip", {"a/b/c.png": drawing(), member: drawing()})
    before = sorted(tmp_path.parent.rglob("*"))
    with (
        pytest.warns(UserWarning, match="placed by hand|not the published file"),
        pytest.raises(DataError, match="points outside the archive"),
    ):
        mp.data.omniglot(data_dir=tmp_path)
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("content", [b"PK\x03\x04 not a zip", b"<html>log in</html>"], ids=["damaged", "html"])
def test_broken_archives(content, tmp_path):
    (tmp_path / "images_background.zip").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=r"truncated or damaged|web page"):
            mp.data.omniglot(data_dir=tmp_path)


@pytest.mark.parametrize("content", [b"not a picture", drawing()[:-40]], ids=["text", "truncated"])
def test_an_archive_with_a_broken_image(content, tmp_path):
    omniglot_zip(tmp_path / "images_background.zip", {"a/b/c.png": content})
    with (
        pytest.warns(UserWarning, match="placed by hand|not the published file"),
        pytest.raises(
            DataError, match=r"^'a/b/c.png' in .*images_background.zip cannot be read as a PNG or JPEG image$"
        ),
    ):
        mp.data.omniglot(data_dir=tmp_path)


def test_glyphs_are_the_same_every_time_and_differ_between_seeds():
    np.testing.assert_array_equal(mp.data.glyphs(3).images, _rendered.__wrapped__(3, 0).images)
    assert not np.array_equal(mp.data.glyphs(3).images, mp.data.glyphs(3, seed=1).images)


def test_a_missing_font_is_a_sentence(monkeypatch):
    monkeypatch.setattr(sys.modules["metaplax.data.glyphs"], "FONTS", ("NoSuchFont",))
    with pytest.raises(DataError, match=r"glyphs need the font .*NoSuchFont\.ttf"):
        _rendered.__wrapped__(1, 0)


def test_glyphs_are_many_different_readable_images():
    data = mp.data.glyphs()
    assert data.images.shape == (9400, 28, 28)
    assert data.counts().tolist() == [200] * 47
    assert len({hashlib.sha256(image.tobytes()).digest() for image in data.images}) == len(data.images)
    ink = (data.images > 64).mean(axis=(1, 2))
    assert ink.min() > 0.005
    assert ink.max() < 0.7
    # A nearest-mean classifier: far above chance (1/47), far below perfect.
    x = data.images.reshape(len(data.images), -1).astype(float)
    train = np.arange(len(x)) % 200 < 100
    means = np.stack([x[train & (data.labels == k)].mean(axis=0) for k in range(47)])
    guess = ((means**2).sum(axis=1) - 2 * x[~train] @ means.T).argmin(axis=1)
    accuracy = (guess == data.labels[~train]).mean()
    assert 0.2 < accuracy < 0.8


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(DataError, match="did you mean 'emnist'"):
        mp.data.load("emnits")


def test_inspection_says_what_is_where(emnist_folder):
    states = {s["name"]: s for s in mp.data.inspect(tuple(mp.data.CATALOG), emnist_folder)}
    assert states["glyphs"]["where"] == "built in"
    assert "train" in states["emnist"]["problem"]
    assert states["mnist"]["state"] == "not here: metaplax data fetch mnist"


@pytest.mark.parametrize(
    ("name", "count", "classes", "reported"),
    [
        ("emnist", 18_800, 47, "emnist (surrogate)"),
        ("mnist", 60_000, 10, "mnist"),
        ("fashion_mnist", 60_000, 10, "fashion_mnist"),
        ("omniglot", 19_280, 964, "omniglot (surrogate)"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_files(name, count, classes, reported, shared_data):
    data = mp.data.load(name, shared_data)
    assert (len(data.images), len(data.class_names), data.name) == (count, classes, reported)
    assert data.images.shape[1:] == (28, 28)
    assert 15 < data.images.mean() < 90
    assert data.counts().min() > 0
