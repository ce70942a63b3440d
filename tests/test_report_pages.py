"""Reports in a browser: narrow and wide, light and dark, nothing beyond the edge, values of curves, downloads."""

import re
import shutil
from xml.etree import ElementTree

import pytest

import wandering
from metaplax import reports
from metaplax.cli import main
from metaplax.reports.html import terms_apart
from metaplax.reports.panels import panels
from test_report import recorded

CHROMIUM = shutil.which("chromium")
WIDTHS = (400, 800, 1400)
SIGHTS = [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of a run, of two runs and of a sweep."""
    place = tmp_path_factory.mktemp("pages")
    runs = [recorded(place, name) for name in ("one", "two")]
    swept = ["sweep", wandering.write(place), "--scale", "1", "2", "--out", str(place / "sweep")]
    assert main(swept) == 0
    return {
        "run": reports.write(runs[:1], place / "run.html"),
        "runs": reports.write(runs, place / "runs.html"),
        "sweep": reports.write_sweep(place / "sweep", place / "sweep.html"),
    }, reports.read(runs[0])


@pytest.fixture
def look(browser, pages):
    """Opens a page; scripts that fail and requests for anything but the page fail the test."""
    opened, wrong = [], []

    def at(name, width=800, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        page.goto(pages[0][name].as_uri())
        opened.append(page)
        return page

    yield at
    for page in opened:
        page.close()
    assert not wrong


@pytest.mark.parametrize("name", ["run", "runs", "sweep"])
@pytest.mark.parametrize(("width", "scheme"), SIGHTS)
def test_nothing_is_beyond_the_edge(look, tmp_path, name, width, scheme):
    page = look(name, width, scheme)
    assert page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for table in page.query_selector_all("table"):
        assert table.evaluate("it => getComputedStyle(it.parentElement).overflowX") == "auto"
    for equation in page.query_selector_all(".equation"):
        height = equation.query_selector("svg").bounding_box()["height"]
        assert height > 25, "terms keep their size and go to the next line"
        assert equation.evaluate("it => it.scrollWidth <= it.clientWidth")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_figures_are_as_dark_as_the_page(look, scheme, dark):
    page = look("run", scheme=scheme)
    fills = "it => getComputedStyle(it).fill"
    paper = page.query_selector('[id$="-plot-0"] path').evaluate(fills)
    assert paper == page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 3 * 128) == dark
    letters = page.query_selector("figure svg").evaluate(fills)
    assert (sum(map(int, re.findall(r"\d+", letters))) > 3 * 128) == dark


def test_values_of_curves_are_those_that_are_drawn(look, pages):
    page = look("run", 1400)
    plot = page.query_selector('#loss [id$="-plot-0"]')
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    (axes,) = next(panel for panel in panels([pages[1]]) if panel.name == "loss").figure.axes
    low, high = axes.get_xlim()
    line, step = axes.lines[0], 12
    page.mouse.move(box["x"] + box["width"] * (step - low) / (high - low), box["y"] + box["height"] / 2)
    shown = page.inner_text("#loss .values").splitlines()
    assert line.get_xdata()[step - 1] == step
    assert shown[0] == f"{line.get_label()}: {line.get_ydata()[step - 1]:.4g} at {step}"
    page.mouse.move(1, 1)
    assert page.query_selector("#loss .values").is_hidden()


def test_figures_are_downloaded_in_their_light_colours(look, tmp_path):
    page = look("run", scheme="dark")
    with page.expect_download() as waiting:
        page.click("#loss button")
    assert waiting.value.suggested_filename == "loss.svg"
    waiting.value.save_as(tmp_path / "loss.svg")
    assert ElementTree.parse(tmp_path / "loss.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    text = (tmp_path / "loss.svg").read_text()
    assert "var(" not in text
    assert "#c44536" in text


def test_the_first_sentence_says_who_won_and_the_configuration_is_closed(look):
    page = look("run")
    first = page.query_selector("h1 + p").inner_text()
    assert first.startswith("3 trials cannot tell which of"), "below five trials nothing is shown"
    assert page.query_selector_all("pre")
    assert all(element.is_hidden() for element in page.query_selector_all("pre"))


def test_terms_in_brackets_stay_whole():
    latex = r"\Delta W_\ell = -0.1 e_{\ell - 1} + 0.2 y (y - W y)^\top - 3 \{a + b\}"
    assert terms_apart(latex) == [
        r"\Delta W_\ell = -0.1 e_{\ell - 1}", r"+ 0.2 y (y - W y)^\top", r"- 3 \{a + b\}",
    ]  # fmt: skip
    assert terms_apart("0") == ["0"]
