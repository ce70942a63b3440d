"""CPU-seconds, memory and compile time of one full-size episode with its exact meta-gradient, per estimator.

Run it on one core, e.g. ``taskset -c 0 .venv/bin/python scripts/time_estimators.py``.
"""

import argparse
import time

import jax
import numpy as np

import metaplax as mp

LEARNERS = {
    "BP": (mp.rules.gradient, mp.feedback.Symmetric),
    "FA": (mp.rules.gradient, mp.feedback.RandomFixed),
    "F_bio": (mp.rules.f_bio, mp.feedback.RandomFixed),
    "pool": (mp.rules.pool, mp.feedback.RandomFixed),
}
ESTIMATORS = {
    "Reverse()": mp.estimators.Reverse(),
    "Checkpointed()": mp.estimators.Checkpointed(),
    "Checkpointed(25)": mp.estimators.Checkpointed(25),
    "ForwardMode()": mp.estimators.ForwardMode(),
}


def measure(learner, estimator, episode, repeats: int) -> tuple[float, float, float]:
    """Median CPU-seconds per episode, temporary megabytes, compile seconds."""
    began = time.perf_counter()
    run = jax.jit(lambda e, k: estimator.value_and_grad(learner, e, k)).lower(episode, jax.random.key(0)).compile()
    compile_seconds = time.perf_counter() - began
    jax.block_until_ready(run(episode, jax.random.key(0)))
    seconds = []
    for seed in range(repeats):
        before = time.process_time()
        jax.block_until_ready(run(episode, jax.random.key(seed)))
        seconds.append(time.process_time() - before)
    return float(np.median(seconds)), run.memory_analysis().temp_size_in_bytes / 1e6, compile_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    episode = mp.tasks.OnlineClassification(mp.data.glyphs()).sample(jax.random.key(1))
    network = mp.MLP((784, 170, 130, 100, 70, 47))
    print("| learner | estimator | CPU-seconds per episode | temporary MB | compile seconds |")
    print("|---|---|---|---|---|")
    for name, (rule, feedback) in LEARNERS.items():
        for label, estimator in ESTIMATORS.items():
            learner = mp.OnlinePlasticity(network, rule(), feedback())
            seconds, megabytes, compiling = measure(learner, estimator, episode, asked.repeats)
            print(f"| {name} | `{label}` | {seconds:.3f} | {megabytes:.0f} | {compiling:.1f} |", flush=True)


if __name__ == "__main__":
    main()
