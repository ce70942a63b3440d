"""``metaplax rules``: for people and for programs."""

import json

import equinox as eqx
import numpy as np
import pytest

import metaplax as mp
from metaplax.cli import main
from metaplax.plasticity import Outer


def said(capsys, *arguments: str) -> str:
    assert main(["rules", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments: str) -> str:
    assert main(["rules", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_all_are_listed(capsys):
    text, entries = said(capsys), json.loads(said(capsys, "list", "--json"))
    assert [entry["name"] for entry in entries] == list(mp.rules.available())
    assert all(entry["name"] in text for entry in entries)
    assert all(entry["equation"] == str(mp.rules.load(entry["name"])) for entry in entries)


def test_one_is_shown(capsys):
    learned = mp.rules.describe("shervani2023/f_bio")
    assert said(capsys, "show", learned.name) == f"{learned}\n"
    entry = json.loads(said(capsys, "show", learned.name, "--json"))
    assert entry["coefficients"] == list(learned.coefficients)
    assert entry["provenance"]["commit"] == learned.provenance["commit"]
    assert entry["latex"] == mp.rules.load(learned.name).latex()


def test_one_is_exported_and_read_back(tmp_path, capsys):
    target = tmp_path / "mine.json"
    assert json.loads(said(capsys, "export", "shervani2023/oja", str(target), "--json")) == {"file": str(target)}
    assert eqx.tree_equal(mp.rules.load(target), mp.rules.load("shervani2023/oja"))
    assert str(mp.rules.load("shervani2023/oja")) in said(capsys, "show", str(target))
    assert f"{target} is there already" in refused(capsys, "export", "shervani2023/oja", str(target))
    mp.rules.taylor().save(target)
    assert json.loads(said(capsys, "show", str(target), "--json"))["equation"] == "ΔWₗ = 0"


def test_the_rule_of_a_run_is_had_in_python_and_on_the_command_line(tmp_path, capsys):
    assert main(["run", "quickstart", "--preset", "smoke", "--meta-steps", "2", "--out", str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    found = mp.experiments.meta_learned(run, "f_bio")
    recorded = {one["name"]: one["mean"] for one in json.loads((run / "result.json").read_text())["quantities"]}
    coefficients = found.mean().rule.coefficients.values
    np.testing.assert_allclose(coefficients, [recorded[f"theta{k}.f_bio"] for k in (0, 2, 9)], rtol=1e-5)
    assert len(found.history) == 2
    capsys.readouterr()
    said(capsys, "export", f"{run}:f_bio", str(tmp_path / "mine.json"))
    assert eqx.tree_equal(mp.rules.load(tmp_path / "mine.json"), found.mean().rule)
    assert said(capsys, "show", f"{run}:f_bio", "--latex") == f"{found.mean().rule.latex()}\n"
    assert "has no meta-trained arm 'f_bo': did you mean 'f_bio'" in refused(capsys, "show", f"{run}:f_bo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "shervani2023/fbio"], "did you mean 'shervani2023/f_bio'"),
        (["export", "nothing", "x.json"], "there is no learned rule 'nothing'"),
        (["export", "shervani2023/oja", "x.txt"], "files of rules end with .json"),
        (["export", "shervani2023/oja"], "it is `metaplax rules list`"),
        (["list", "shervani2023/oja"], "it is `metaplax rules list`"),
        (["show"], "it is `metaplax rules list`"),
        (["hide"], "invalid choice 'hide'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_rules(tmp_path, capsys):
    (tmp_path / "rule.json").write_text("{}")
    assert "is not the file of a" in refused(capsys, "show", str(tmp_path / "rule.json"))
    mp.rules.make([mp.plasticity.term("mine", lambda s: Outer(s.post, s.pre))]).save(tmp_path / "rule.json")
    assert "the term 'mine' is a function of your own" in refused(capsys, "show", str(tmp_path / "rule.json"))
    assert main(["rules", "show", str(tmp_path / "none.json")]) == 1
    assert "none.json: No such file" in capsys.readouterr().err
