"""Train Fashion-MNIST in PyTorch by learned rules, each image seen once, beside backprop.

Usage: ``python examples/fashion_mnist_in_torch.py [--data-dir DIR] [--images 2000]``. Needs ``metaplax[torch]``.
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from torch import nn

import metaplax as mp

RULES = {
    "backprop": ("shervani2023/bp", "symmetric"),
    "feedback alignment": ("shervani2023/fa", "random"),
    "F_bio": ("shervani2023/f_bio", "random"),
}
TESTED = 2000
"""Images that the networks are scored on."""


def as_tensors(images: mp.data.ImageSet, order: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Some images with shades from 0 to 1, and their classes."""
    shades = images.images[order] / np.float32(255)
    return torch.from_numpy(shades), torch.from_numpy(images.labels[order].astype(np.int64))


def network() -> nn.Sequential:
    """The network that the rules were learned for, with ten outputs."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise((784, 170, 130, 100, 70, 10)):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.Softplus(beta=10)]
        nn.init.xavier_uniform_(layers[-2].weight)  # pyright: ignore[reportArgumentType]
    return nn.Sequential(*layers[:-1])


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train with each of the rules, and print how many test images are recognised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of the data; by default they are downloaded")
    parser.add_argument("--images", type=int, default=2000, help="how many are learned from, one after the other")
    asked = parser.parse_args(arguments)
    train, test = (mp.data.fashion_mnist(split, data_dir=asked.data_dir) for split in ("train", "test"))
    order = np.random.default_rng(0).permutation(len(train.labels))[: asked.images]
    x_test, y_test = as_tensors(test, np.arange(min(TESTED, len(test.labels))))
    found = {}
    for name, (rule, feedback) in RULES.items():
        torch.manual_seed(0)
        model = network()
        learner = mp.rules.load(rule).to_torch(model, feedback=feedback)
        for image, label in zip(*as_tensors(train, order), strict=True):
            learner.step(image, label)
        found[name] = float((model(x_test).argmax(dim=1) == y_test).double().mean())
        print(f"{name:20} recognises {found[name]:.3f} of {len(y_test)} images, after {len(order)}")
    return found


if __name__ == "__main__":
    main()
