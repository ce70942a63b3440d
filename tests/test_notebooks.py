"""What a notebook shows: rules as typeset equations, and how far meta-training is in one line."""

import pytest

import metaplax as mp
from metaplax.plasticity import BCM, Hebb, Rule, shared

G, H = r"e_\ell\, y_{\ell-1}^\top", r"y_\ell\, y_{\ell-1}^\top"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule((mp.plasticity.PseudoGradient(),), shared([1e-3])), rf"\Delta W_\ell = -0.001 \,{G}"),
        (
            Rule((mp.plasticity.PseudoGradient(), Hebb()), shared([-1e-5, 1234.0])),
            rf"\Delta W_\ell = 1 \times 10^{{-5}} \,{G} + 1.23 \times 10^{{3}} \,{H}",
        ),
        (Rule((BCM(), Hebb()), shared([0.0, -0.25])), rf"\Delta W_\ell = -0.25 \,{H}"),
        (
            Rule((Hebb(),), shared([0.5], "layer", (3, 2, 2))),
            rf"\begin{{aligned}} \Delta W_{{1}} &= 0.5 \,{H} \\ \Delta W_{{2}} &= 0.5 \,{H} \end{{aligned}}",
        ),
        (
            Rule((mp.plasticity.PseudoGradient(), Hebb()), shared([0.5, 1.0], "neuron", (3, 2))),
            rf"\Delta W_\ell = -\theta_{{0}} \,{G} + \theta_{{\mathrm{{hebb}}}} \,{H}",
        ),
    ],
)
def test_rules_are_typeset(rule, expected):
    assert rule._repr_latex_() == rf"$\displaystyle {expected}$"


PROGRAM = """
import jax, optax
import metaplax as mp
task = mp.tasks.OnlineClassification(mp.data.glyphs(per_class=4), ways=2, shots=1, queries=1)
learner = mp.OnlinePlasticity(mp.MLP((784, 5, 47)), mp.rules.f_bio())
result = mp.meta_train(learner, task, mp.estimators.Reverse(), optax.adam(1e-3), 3, key=jax.random.key(0))
"""


def test_a_cell_that_meta_trains_ends_in_one_line():
    nbclient = pytest.importorskip("nbclient", reason="notebooks cannot be run here")
    nbformat = pytest.importorskip("nbformat", reason="notebooks cannot be run here")
    pytest.importorskip("ipykernel", reason="notebooks cannot be run here")
    cells = [nbformat.v4.new_code_cell(PROGRAM), nbformat.v4.new_code_cell("result.trial(0).rule")]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    training, rule = (cell.outputs for cell in book.cells)
    (line,) = [output for output in training if output["output_type"] != "stream"]  # a warning of a library
    text = line["data"]["text/plain"]
    assert text.startswith("meta-training: 3/3  loss ")
    assert "\n" not in text
    assert "░" not in text
    assert rule[0]["data"]["text/latex"].startswith(r"$\displaystyle \Delta W_\ell = ")
