"""Run folders of earlier versions, whose files used other names, can be read, compared and evaluated."""

import json

import numpy as np
import pytest

from metaplax import reports
from metaplax.cli import main
from metaplax.runs import RunFolder, StudyDescription, as_kind
from metaplax.runs.old_names import translate_config, translate_row

TERMS = [{"name": "0", "text": "eₗ yₗ₋₁ᵀ", "latex": r"e_\ell\, y_{\ell-1}^\top", "sign": -1}]


def old_config(labels: dict[str, str], **more: object) -> dict:
    return {
        "experiment": "shervani2023/fig3",
        "preset": "quick",
        "data_dir": None,
        "data": "glyphs",
        "data_sha256": "",
        "checkpoint_seconds": 20.0,
        "title": "An old run",
        "source": "Somebody (2023)",
        "averaged": 3,
        "axis": "meta-step",
        "stride": 1,
        "places": None,
        "headline": ["accuracy", "loss"],
        "loss_unit": "nats",
        "by_cost": False,
        "scan": None,
        "rules": {name: {"label": label, "terms": TERMS} for name, label in labels.items()},
        "published": {},
        "config": {"trials": 2, "seed": 1, "data": "glyphs", "episodes": 5},
        **more,
    }


@pytest.fixture
def folder(tmp_path):
    """A folder as an earlier version wrote it."""
    path = tmp_path / "old"
    path.mkdir()
    labels = {"fa": "feedback alignment", "fa.held_out": "feedback alignment, held out"}
    (path / "config.json").write_text(json.dumps(old_config(labels)))
    (path / "env.json").write_text(json.dumps({"libraries": {}}))
    rows = []
    for name in labels:
        for step in range(5):
            values = {"accuracy": [step / 10, 0.5], "loss": [1.0, 2.0], "theta0": [0.1, 0.2], "episodes": [4, 4]}
            rows.append({"rule": name, "step": step, "seconds": 0.1, "cpu_seconds": 0.8, **values})
        rows.append({"rule": name, "step": 5, "final": True, "theta0": [0.1, 0.3]})
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_it_has_a_report_with_all_its_numbers(folder):
    run = reports.read(folder)
    assert run.labels == {"fa": "feedback alignment"}
    assert run.options.axis == "meta-step"
    assert run.config["config"]["meta_steps"] == 5
    assert run.quantities["accuracy.fa"]["mean"] == pytest.approx((0.3 + 0.5) / 2), "over the last three steps"
    assert run.quantities["accuracy.fa.held_out"]["mean"] == pytest.approx((0.2 + 0.5) / 2), "over all steps"
    assert run.quantities["cpu_seconds_per_episode.fa"]["mean"] == pytest.approx(0.8 / 2 / 4)
    assert set(run.series["fa"]) == {"accuracy", "loss", "theta0"}
    page = reports.write([str(folder)], str(folder / "report.html")).read_text()
    assert "feedback alignment: ΔWₗ = −0.2 eₗ yₗ₋₁ᵀ" in page
    assert (folder / "figures" / "transfers.svg").is_file()


def test_example_tasks_are_found_where_they_were(folder):
    (folder / "portraits").mkdir()
    (folder / "portraits" / "fa.json").write_text(json.dumps({"places": [0.5], "support_places": [], "target": [1.0]}))
    assert reports.read(folder).example_tasks == {"fa": {"x_values": [0.5], "support_x_values": [], "target": [1.0]}}


def test_it_is_compared_with_others(folder, capsys):
    assert main(["compare", str(folder), str(folder), "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} >= {"accuracy.fa", "accuracy.fa.held_out"}


def test_rows_that_are_rewritten_have_new_names(folder):
    RunFolder(folder).drop_rows("fa", 2)
    text = (folder / "metrics.jsonl").read_text()
    assert '"rule"' not in text
    assert len(reports.read(folder).series["fa"]["loss"]) == 2


@pytest.mark.parametrize(
    ("labels", "more", "expected"),
    [
        ({"fa": "FA, slow"}, {}, StudyDescription("fa", "", "FA, slow")),
        ({"fa": "FA", "fa.w_4": "FA, w 4"}, {}, StudyDescription("fa", "w_4", "FA", "w 4")),
        ({"greedy.d50": "Lin, ear, delta = 0.5"}, {}, StudyDescription("greedy", "d50", "Lin, ear", "delta = 0.5")),
        ({"a": "λ"}, {"scan": {"name": "λ", "values": {"a": 1.0}}}, StudyDescription("a", "", "λ", "", "", 1.0)),
        ({"q_cg": "bowl: CG, 10 steps"}, {"places": [1.0, 2.0]}, StudyDescription("q_cg", "", "CG, 10 steps", "bowl")),
        (
            {"q_cg_miss1": "bowl: CG, missed by 1"},
            {"places": [1.0, 2.0]},
            StudyDescription("q_cg_miss1", "", "CG", "bowl", "missed by 1"),
        ),
    ],
    ids=["arm", "condition", "condition without arm", "scan", "problem", "variant"],
)  # fmt: skip
def test_descriptions_are_recovered_from_labels(labels, more, expected):
    config = translate_config(old_config(labels, **more))
    name, entry = list(config["studies"].items())[-1]
    assert as_kind(entry, StudyDescription) == expected
    assert entry["label"] == expected.label
    assert config["report"]["x_values"] == more.get("places")
    assert name in labels


def test_todays_names_stay_as_they_are():
    for translate in (translate_config, translate_row):
        assert translate({"studies": {}, "study": "fa", "config": {"episodes": 1}, "meta_batch": 2}) == {
            "studies": {}, "study": "fa", "config": {"episodes": 1}, "meta_batch": 2,
        }  # fmt: skip


def test_numbers_are_averaged_in_the_same_way(folder):
    rows = RunFolder.open(str(folder)).rows()
    assert np.mean([row["meta_batch"] for row in rows if not row.get("final")]) == 4
