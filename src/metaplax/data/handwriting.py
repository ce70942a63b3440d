"""EMNIST, MNIST and Fashion-MNIST: four IDX files each, gzipped or not.

An IDX file is two zero bytes, a type code (8: unsigned byte), the number of axes, one big-endian 32-bit integer per
axis, then the data in C order (LeCun, Cortes & Burges).
"""

from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np

from metaplax.data.checks import check_choice
from metaplax.data.files import PublishedFile, fetch
from metaplax.data.images import ImageSet
from metaplax.data.reading import LARGEST, DataError, PathLike, parsing, read_up_to, unzipped

Split = Literal["train", "test"]
PARTS = ("images-idx3", "labels-idx1")
UNSIGNED_BYTE = 8

EMNIST_ARCHIVE = PublishedFile(
    "gzip.zip", "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"
)
EMNIST_CLASSES = {
    "balanced": tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
    "digits": tuple("0123456789"),
}

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def emnist_files(kind: str = "balanced") -> tuple[PublishedFile, ...]:
    """The four files of one EMNIST split (Cohen et al., 2017), training images first."""
    names = [f"emnist-{kind}-{split}-{part}-ubyte.gz" for split in ("train", "test") for part in PARTS]
    return tuple(PublishedFile(name, archive=EMNIST_ARCHIVE, member=f"gzip/{name}") for name in names)


MNIST_FILES = tuple(PublishedFile(name, MNIST_URL + name, md5) for name, md5 in MNIST_MD5.items())
FASHION_FILES = tuple(PublishedFile(name, FASHION_URL + name, md5) for name, md5 in FASHION_MD5.items())


def emnist(
    kind: Literal["balanced", "digits"] = "balanced",
    split: Split = "test",
    *,
    data_dir: PathLike | None = None,
    orientation: Literal["upright", "raw"] = "upright",
) -> ImageSet:
    """Extended MNIST (Cohen, Afshar, Tapson & van Schaik, 2017).

    Args:
        kind: ``"balanced"`` (47 classes of digits and letters) or ``"digits"`` (10 classes).
        split: the training or the test files; ``"test"`` has 400 images per class of ``"balanced"``, and is what the
            published code of Shervani-Tabar & Rosenbaum (2023) uses.
        data_dir: folder to look in before the cache and the web.
        orientation: the published files hold every image transposed; ``"upright"`` transposes them back, ``"raw"``
            leaves them as they are.

    Raises:
        DataError: the files are missing or damaged.
    """
    check_choice("kind", kind, EMNIST_CLASSES)
    check_choice("orientation", orientation, ("upright", "raw"))
    data = _load("emnist", emnist_files(kind), EMNIST_CLASSES[kind], split, data_dir)
    if orientation == "raw":
        return data
    return replace(data, images=np.ascontiguousarray(data.images.transpose(0, 2, 1)))


def mnist(split: Split = "train", *, data_dir: PathLike | None = None) -> ImageSet:
    """MNIST (LeCun, Cortes & Burges): 60,000 training and 10,000 test images of digits.

    Raises:
        DataError: the files are missing or damaged.
    """
    return _load("mnist", MNIST_FILES, tuple("0123456789"), split, data_dir)


def fashion_mnist(split: Split = "train", *, data_dir: PathLike | None = None) -> ImageSet:
    """Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017): 60,000 training and 10,000 test images of clothing.

    Raises:
        DataError: the files are missing or damaged.
    """
    return _load("fashion_mnist", FASHION_FILES, FASHION_CLASSES, split, data_dir)


def _load(
    name: str, files: tuple[PublishedFile, ...], class_names: tuple[str, ...], split: Split, data_dir: PathLike | None
) -> ImageSet:
    check_choice("split", split, ("train", "test"))
    found = [fetch(name, file, data_dir) for file in (files[:2] if split == "train" else files[2:])]
    images, labels = (read_idx(file.path, axes) for file, axes in zip(found, (3, 1), strict=True))
    reported = name if all(file.is_published for file in found) else f"{name} (surrogate)"
    with parsing(f"{found[0].path} and {found[1].path}", "do not belong together"):
        return ImageSet(reported, images, labels, class_names)


def read_idx(path: PathLike, axes: int = 3) -> np.ndarray:
    """Parse an IDX file of unsigned bytes with this number of axes; a ``DataError`` says what is wrong with it."""
    with unzipped(path) as stream:
        magic = read_up_to(stream.read, 4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            raise DataError(f"{path} is not an IDX file: it does not start with two zero bytes")
        if magic[2] != UNSIGNED_BYTE:
            raise DataError(
                f"{path} holds IDX data of type {magic[2]:#x}, but images and labels are unsigned bytes (0x8)"
            )
        if magic[3] != axes:
            raise DataError(f"{path} holds IDX data of {magic[3]} axes, but images have 3 and labels 1")
        header = read_up_to(stream.read, 4 * axes)
        if len(header) < 4 * axes:
            raise DataError(f"{path} is truncated or damaged: an incomplete header")
        shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(0, len(header), 4))
        size = prod(shape)
        if not 0 < size <= LARGEST:
            raise DataError(f"{path} is said to hold {size:,} values by its header, not 1 to {LARGEST:,}")
        content = read_up_to(stream.read, size + 1)
    if len(content) != size:
        found = f"{len(content):,}" if len(content) < size else "more"
        raise DataError(f"{path} is truncated or damaged: {size:,} values in its header, {found} in the file")
    return np.frombuffer(content, np.uint8).reshape(shape)
