"""Fingerprints of studies are the same in every process, or a run could not be resumed in another one."""

import json
import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest

from metaplax.runs import Checkpoints, fingerprint

PROGRAM = """
import json
import sys
from dataclasses import asdict
from functools import cache
import jax
import jax.numpy as jnp
import numpy as np
from metaplax import data
from metaplax.experiments import EXPERIMENTS, configure
from metaplax.experiments.shervani2023 import online
from metaplax.runs import with_tuples

CLASSES = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "omniglot": 964, "omniglot84": 964, "miniimagenet": 64}
IMAGES = {"mnist": 7000, "fashion_mnist": 7000, "cifar10": 5000, "omniglot": 20, "omniglot84": 20, "miniimagenet": 30}
SHAPES = {"cifar10": (32, 32, 3), "miniimagenet": (84, 84, 3), "omniglot84": (84, 84)}

@cache
def load(name, split=None):
    classes = CLASSES.get(name, 47)
    labels = np.repeat(np.arange(classes), IMAGES.get(name, 250))
    images = np.full((len(labels), *SHAPES.get(name, (28, 28))), 9, np.uint8)
    return data.ImageSet(name, images, labels, map(str, range(classes)))

# It would try out learning rates, which takes minutes and does not change the structure.
online.stable_scales = lambda learner, *_: jnp.ones_like(learner.rule.coefficients.values)

found = {}

def collect(name, preset):
    experiment = configure(EXPERIMENTS[name], preset)
    if sys.argv[1] == "resumed":
        read = json.loads(json.dumps(asdict(experiment)))
        experiment = type(experiment)(**{field: with_tuples(value) for field, value in read.items()})
    for study, made in experiment.studies(load(experiment.data), load).items():
        found[f"{name} {preset} {study}"] = made.fingerprint

for name, kind in EXPERIMENTS.items():
    for preset in ("smoke", "paper"):
        try:
            jax.eval_shape(lambda: collect(name, preset))  # traced, so that hardly any array is computed
        except jax.errors.TracerArrayConversionError:
            collect(name, preset)
print(json.dumps(found))
"""


def test_every_study_of_every_experiment_has_the_same_fingerprint_in_two_processes():
    """The second process reads the fields from JSON, as one that resumes a run.

    Nothing is compiled, and the data are blank images: fingerprints are about structure.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, env={**environment, "PYTHONHASHSEED": seed}
        )
        for seed, how in (("1", "started"), ("2", "resumed"))
    ]
    first, second = (json.loads(process.communicate()[0]) for process in processes)
    assert len(first) > 600
    assert first == second
    assert not [name for name, text in first.items() if "0x" in text]


@pytest.mark.parametrize("value", [jax.nn.relu, partial(jax.nn.relu, 1), jax.jit(lambda x: x), object()])
def test_fingerprints_hold_no_memory_addresses(value):
    assert "0x" not in fingerprint({"value": value, "array": np.ones(5, np.float32)})


class Printed:
    """Something whose text changes from process to process: by the length of its address, or by the order of a set."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self):
        return self.text


@pytest.mark.parametrize(
    "texts",
    [("<x at 0x7f1f7ce0f4c0>", "<x at 0xA1>"), ("{'a', 'b', 'c'}", "{'c', 'a', 'b'}"), ("f({1, 2})", "f({2, 1})")],
)
def test_what_differs_between_processes_makes_no_difference(texts):
    """The length of an address decides where lines are broken."""
    one, other = (
        fingerprint(({"key": Printed(text)}, "some more text to fill the line up to its en")) for text in texts
    )
    assert one == other


def test_a_fingerprint_that_a_caller_wrote_is_treated_alike(tmp_path):
    Checkpoints(tmp_path, "f at 0x1").save(1, {"a": np.ones(2)})
    assert Checkpoints(tmp_path, "f at 0x2").latest({"a": np.zeros(2)})[0] == 1
