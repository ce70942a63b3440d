"""``metaplax rules``: learned rules listed, shown, and written into files of one's own."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from metaplax._files import write_whole
from metaplax.cli.console import Json, answer, to_json
from metaplax.cli.parsing import UsageError
from metaplax.cli.tables import grid
from metaplax.experiments import meta_learned
from metaplax.plasticity import LearnedRule, Rule, UnknownRuleError, named_rules
from metaplax.plasticity.rule_files import is_path


def rules(
    what: Annotated[Literal["list", "show", "export"], tyro.conf.Positional] = "list",
    name: Annotated[str, tyro.conf.Positional] = "",
    file: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    data_dir: Path | None = None,
    latex: bool = False,
    json: Json = False,
) -> None:
    """List the learned rules that come with the package, show one, or write one into a file.

    Args:
        what: list all rules, show one with its origin, or export one
        name: name of a rule; or RUN_FOLDER:ARM, the mean over trials of what an arm of a run has learned; show also
            takes a file that Rule.save or export has written
        file: where to export to, a new file that ends with .json
        data_dir: folder to look for the data of a run in, if it has moved
        latex: print the equation of a rule that is shown in LaTeX, without dollar signs
    """
    if (name != "") != (what != "list") or (file is not None) != (what == "export"):
        raise UsageError("it is `metaplax rules list`, `... show NAME` or `... export NAME FILE.json`")
    if what == "list":
        answer([_entry(named_rules.describe(each)) for each in named_rules.available()], _table, as_json=json)
        return
    learned = _found(name, data_dir)
    if file is not None:
        if not is_path(file.name):
            raise UsageError(f"files of rules end with .json, which {file} does not")
        if file.exists():
            raise UsageError(f"{file} is there already: take another name")
        if isinstance(learned, Rule):
            learned.save(file)
        else:
            write_whole(file, learned.as_json().encode())
        print(to_json({"file": str(file)}) if json else file)
    elif latex:
        print((learned if isinstance(learned, Rule) else learned.rule()).latex())
    elif json:
        print(to_json(_equations(learned) if isinstance(learned, Rule) else _entry(learned)))
    else:
        print(learned)


def _found(name: str, data_dir: Path | None) -> Rule | LearnedRule:
    """A rule by name, of a file, or of an arm of a run.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    run, colon, arm = name.rpartition(":")
    try:
        if is_path(name):
            return named_rules.load(name)
        if not colon:
            return _described(name)
        learner = meta_learned(run, arm, data_dir).mean()
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not isinstance(rule := getattr(learner, "rule", None), Rule):
        raise UsageError(f"{arm} of {run} has no plasticity rule: it has meta-learned other parameters")
    return rule


def _described(name: str) -> LearnedRule:
    """A rule by name.

    Raises:
        UsageError: there is none of this name.
    """
    try:
        return named_rules.describe(name)
    except UnknownRuleError as error:
        raise UsageError(str(error)) from error


def _equations(rule: Rule) -> dict[str, Any]:
    return {"equation": str(rule), "latex": rule.latex()}


def _entry(learned: LearnedRule) -> dict[str, Any]:
    """All that is known of a rule."""
    return {**asdict(learned), **_equations(learned.rule())}


def _table(found: list[dict[str, Any]]) -> Table:
    rows = [[one["name"], one["equation"], one["feedback"], one["summary"]] for one in found]
    return grid("rule", "equation", "feedback", "what it is", rows=rows)
