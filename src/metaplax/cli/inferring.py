"""``metaplax infer``: a plasticity rule inferred from recordings in files."""

from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from rich.table import Table

from metaplax.cli.console import Json, show, to_json
from metaplax.cli.parsing import UsageError
from metaplax.cli.tables import grid
from metaplax.inference import Inferred, infer, read_array
from metaplax.plasticity.rule_files import is_path

ARRAYS = ("inputs", "activity", "choices", "rewards", "start")
SHOWN = 10
"""Coefficients in the table, the largest ones."""


def infer_rule(
    *,
    inputs: str = "",
    activity: str = "",
    choices: str = "",
    rewards: str = "",
    start: str = "",
    rule: Literal["taylor", "mlp"] = "taylor",
    degree: int = 2,
    model: Literal["full", "rule", "weights", "null"] | None = None,
    learn_from: Literal["accepted", "all"] = "accepted",
    window: int = 10,
    recurrent: bool = False,
    hidden: int = 10,
    held_out: float = 0.2,
    bootstrap: int = 0,
    meta_steps: int = 1000,
    rate: float = 0.01,
    penalty: float | None = None,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(help="new file for the rule, which ends with .json")] = None,
    json: Json = False,
) -> None:
    """Infer a plasticity rule from recorded activity, or from choices and rewards.

    Every array is a file: FILE.npy, or FILE.npz or FILE.nwb with an array of that name in it, or FILE.npz:NAME. What is
    not given is looked for in the .npz file of the activity or choices.

    Args:
        inputs: activity of the input neurons, (trajectories, steps, inputs)
        activity: of the output neurons, (trajectories, steps, neurons), NaN where it was not recorded
        choices: in place of activity, 1 or 0 at every step, (trajectories, steps)
        rewards: that followed the choices, (trajectories, steps)
        start: initial weights, where they are known, (neurons, inputs) or (trajectories, neurons, inputs)
        rule: a polynomial, or a small network
        degree: largest power in a polynomial
        model: fit rule and initial weights (full), one of them, or nothing; by default as much as is unknown
        learn_from: whether synapses change after choices of 1 only (accepted), or after all
        window: the expected reward is the mean of so many rewards
        recurrent: whether the recorded neurons reach one another by plastic synapses, too; only with activity
        hidden: neurons between inputs and choices
        held_out: fraction of the trajectories that the rule is only scored on
        bootstrap: how often the rule is fitted again, to trajectories drawn with replacement
        meta_steps: steps of the fit
        rate: learning rate of the fit at its start
        penalty: factor of the L1 penalty on coefficients
        seed: of all random numbers
    """
    arrays = _arrays({"inputs": inputs, "activity": activity, "choices": choices, "rewards": rewards, "start": start})
    if out is not None and (out.exists() or not is_path(out.name)):
        raise UsageError(f"the rule is written into a new file that ends with .json, which {out} is not")
    try:
        found = infer(
            arrays.pop("inputs", None), **arrays, rule=rule, degree=degree, model=model, learn_from=learn_from,
            window=window, recurrent=recurrent, hidden=hidden, held_out=held_out, bootstrap=bootstrap,
            meta_steps=meta_steps, rate=rate, penalty=penalty, key=jax.random.key(seed),
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from error
    if out is not None:
        found.rule.save(out)
    if json:
        print(to_json(found.as_json()))
        return
    if found.coefficients:
        show(coefficient_table(found))
    for what, scores in (("fitted", found.explained), ("held out", found.explained_held_out)):
        if scores.size:
            print(f"explained   {np.mean(scores):.1f} % of the misfit of the null model ({what}, n = {scores.size})")
    warnings = found.identifiability.warnings if found.identifiability else ()
    for sentence in (*found.notes, *warnings):
        print(f"note: {sentence}")


def coefficient_table(found: Inferred) -> Table:
    """The largest coefficients, and how well they are determined."""
    about, texts = found.identifiability, {term.name: term.text for term in found.rule.terms}
    rows = []
    for name in sorted(found.coefficients, key=lambda name: -abs(found.coefficients[name]))[:SHOWN]:
        row = [name, texts[name], f"{found.coefficients[name]:.4f}"]
        if about is not None:
            at = about.names.index(name)
            row += [f"{values[at]:.2g}" for values in (about.standard_errors, about.slack_alone, about.slack)]
        if found.bootstrap:
            low, high = np.percentile(found.bootstrap[name], (1, 99))
            row.append(f"{low:.4f} to {high:.4f}")
        rows.append(row)
    extra = ("standard error", "slack alone", "slack") if about is not None else ()
    refits = ("bootstrap, 98 %",) if found.bootstrap else ()
    caption = "slack: how far it can move before 1 % of the fit is lost, alone or with all others fitted again"
    return grid("coefficient", "of", "value", *extra, *refits, rows=rows, caption=caption if about else "")


def _arrays(places: dict[str, str]) -> dict[str, Any]:
    """The arrays by name, those that are not given from the archive of what is.

    Raises:
        UsageError: one cannot be read, or there are no inputs.
    """
    main = places["activity"] or places["choices"]
    if not main:
        raise UsageError("what was recorded? `metaplax infer --activity FILE.npz` or `--choices FILE.npz`")
    try:
        found = {name: read_array(place, name) for name, place in places.items() if place}
        if main.endswith(".npz"):
            with np.load(main, allow_pickle=False) as archive:
                kept = [name for name in ARRAYS if name in archive.files and name not in found]
                wanted = ("inputs", "start") if places["activity"] else ("inputs", "rewards")
                found |= {name: archive[name] for name in kept if name in wanted}
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
    if "inputs" not in found:
        raise UsageError("the inputs are missing: --inputs FILE, or an array inputs in the .npz file")
    return found
