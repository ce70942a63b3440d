"""CIFAR-10 in its binary version: six files of records, no pickle.

A record is one byte for the label and 3 x 1024 for the pixels: the red, the green and the blue plane,
each 32 x 32 in row-major order (Krizhevsky, 2009).
"""

from typing import Literal

import numpy as np
from jaxtyping import UInt8

from metaplax.data.checks import check_choice
from metaplax.data.files import PublishedFile, fetch
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError, PathLike, parsing, read_file

CHANNELS, SIZE = 3, 32
RECORD = 1 + CHANNELS * SIZE * SIZE
LARGEST_BATCH = 2**26
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

ARCHIVE_NAME = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
OUTER = "cifar-10"  # a folder that some unpack the archive into
ARCHIVE = PublishedFile(
    ARCHIVE_NAME,
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE_NAME}",
    "c32a1d4ab5d03f1284b67883e8d87530",
    paths=(f"{OUTER}/{ARCHIVE_NAME}",),
)
BATCH_MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
CIFAR10_FILES = tuple(
    PublishedFile(
        name,
        md5=md5,
        archive=ARCHIVE,
        member=f"{FOLDER}/{name}",
        paths=(f"{FOLDER}/{name}", f"{OUTER}/{FOLDER}/{name}"),
    )
    for name, md5 in BATCH_MD5.items()
)


def cifar10(split: Literal["train", "test"] = "train", *, data_dir: PathLike | None = None) -> ImageSet:
    """CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test colour images of 32 x 32 pixels.

    Args:
        split: the training or the test images.
        data_dir: folder to look in before the cache and the web: for ``cifar-10-batches-bin/``, the batches
            themselves or ``cifar-10-binary.tar.gz``, also inside ``cifar-10/``.

    Raises:
        DataError: the files are missing or damaged, or only some of them are the published ones.
    """
    check_choice("split", split, ("train", "test"))
    files = CIFAR10_FILES[:-1] if split == "train" else CIFAR10_FILES[-1:]
    found = [fetch("cifar10", file, data_dir) for file in files]
    batches = [read_batch(file.path) for file in found]
    published = [file.path for file in found if file.is_published]
    other = [file.path for file in found if not file.is_published]
    if published and other:
        # Other copies are in another order: the same image could be in both.
        raise DataError(f"{other[0]} and {published[0]} do not belong together: only the second is the published file")
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    # Copies that differ from the published files were made from JPEG images.
    with parsing(found[0].path, "cannot be used"):
        return ImageSet("cifar10 (jpeg surrogate)" if other else "cifar10", images, labels, CLASSES)


def read_batch(path: PathLike) -> tuple[UInt8[np.ndarray, "N 32 32 3"], UInt8[np.ndarray, " N"]]:
    """Images and labels of one file; a ``DataError`` says what is wrong with it."""
    content = np.frombuffer(read_file(path, LARGEST_BATCH), np.uint8)
    if not content.size or content.size % RECORD:
        raise DataError(
            f"{path} is truncated or damaged: {content.size:,} bytes are not a whole number of records of {RECORD:,}"
        )
    records = content.reshape(-1, RECORD)
    labels, planes = records[:, 0], records[:, 1:].reshape(-1, CHANNELS, SIZE, SIZE)
    if labels.max() >= len(CLASSES):
        raise DataError(f"{path} holds label {labels.max()}, but cifar10 has {len(CLASSES)} classes")
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
