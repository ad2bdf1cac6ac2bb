"""The report page in a real browser (headless Chromium): what a reader sees and can do."""

import shutil
from collections.abc import Iterator

import pytest

from lightvad.layout import Run, report_path
from lightvad.project import Project
from lightvad.stages import figure, report, table

from .conftest import BUDGET

sync_api = pytest.importorskip("playwright.sync_api")

CHOICE = {"datasets": ("plaza",), "budget": BUDGET, "seeds": (0, 1)}
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
LARGEST = 5_000_000


@pytest.fixture(scope="module")
def address(made_up: Project) -> str:
    """Where the page of all tables and figures lies."""
    experiment = made_up.experiment("fast_aed")
    for number in experiment.tables:
        table.run(made_up, paper="fast_aed", number=number, root=made_up.root, **CHOICE)
    for number in experiment.figures:
        figure.run(made_up, paper="fast_aed", number=number, root=made_up.root, **CHOICE)
    report.run(made_up, paper="fast_aed", root=made_up.root, **CHOICE)
    path = made_up.root / report_path(("plaza",), BUDGET, "fast_aed")
    assert path.stat().st_size < LARGEST
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Root, as in a container, has no sandbox.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "sync_api.Browser", address: str) -> Iterator["sync_api.Page"]:
    """The opened page; any error of a script, or a request for another file, fails the test."""
    faults: list[str] = []
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda request: faults.append(request.url) if not request.url.startswith((address, "data:")) else None,
    )
    page.goto(address)
    yield page
    context.close()
    assert faults == []


def column(page: "sync_api.Page", table: str, number: int) -> list[str]:
    return page.locator(f"#{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_every_table_and_figure_is_there(page: "sync_api.Page") -> None:
    names = page.locator("h3 .name").all_inner_texts()
    tables, figures = [n for n in names if n.startswith("Table")], [n for n in names if n.startswith("Figure")]
    assert tables == [f"Table {number}" for number in range(1, 9)]
    # 2 and 7 are the same plot here; with five clips the sixth figure of curves shows the first one's again.
    assert figures == [
        "Figures 2 and 7", "Figures 4 and 12", "Figure 5", "Figure 6", "Figure 10", "Figure 8", "Figure 9", "Figure 11"
    ]  # fmt: skip


def test_a_heading_sorts_its_table_and_gives_back_the_papers_order(page: "sync_api.Page") -> None:
    name = "fast_aed-table6"
    paper = column(page, name, 5)
    heading = page.locator(f"#{name} thead tr:last-child th:nth-child(5)")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    values = [float(text.split(" ")[0]) for text in column(page, name, 5)]
    assert values == sorted(values, reverse=True)
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    values = [float(text.split(" ")[0]) for text in column(page, name, 5)]
    assert values == sorted(values)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert column(page, name, 5) == paper != sorted(paper)


def test_what_has_no_number_stays_last(page: "sync_api.Page") -> None:
    """Objects a frame: a frame method has none."""
    timed = page.locator("table", has=page.locator("th", has_text="Objects"))
    headings = [text.strip() for text in timed.locator("thead tr:last-child th").all_inner_texts()]
    heading, position = timed.locator("th", has_text="Objects"), 1 + headings.index("Objects")
    for _ in range(2):
        heading.get_by_role("button").click()
        absent = [text == "-" for text in timed.locator(f"tbody td:nth-child({position})").all_inner_texts()]
        assert any(absent)
        assert not all(absent)
        assert absent == sorted(absent)


@pytest.mark.parametrize(
    ("text", "number"), [("1,480.0", 1480), ("85.5 ± 0.7 [81, 89]", 85.5), ("3e-05", 3e-05), ("-", None)]
)
def test_what_a_cell_is_sorted_by(page: "sync_api.Page", text: str, number: float | None) -> None:
    assert page.evaluate(f"numberOf({{textContent: '{text}'}})") == number


def test_a_number_leads_to_the_record_of_its_run(page: "sync_api.Page") -> None:
    run = Run("plaza", BUDGET, "ssmtl", "default", 0)
    record = page.locator(f"details:has-text('{run.folder.as_posix()}')").first
    assert record.get_attribute("open") is None
    page.locator("#fast_aed-table1 tr.measured td a").first.click()
    page.wait_for_function("[...document.querySelectorAll('details')].some((one) => one.open)")
    opened = page.locator("details[open]")
    assert opened.count() == 1
    assert "model.safetensors ffffffffffff" in opened.inner_text()


def test_the_speed_plot_answers(page: "sync_api.Page") -> None:
    figure = page.locator("#fast_aed-figure2")
    figure.scroll_into_view_if_needed()
    canvas = figure.locator(".interactive canvas")
    canvas.wait_for()
    # The pointer on the student's fastest point.
    x, y = page.evaluate(
        """() => { const chart = Chart.getChart(document.querySelector("#fast_aed-figure2 .interactive canvas"));
                   const set = chart.data.datasets.findIndex((one) => one.label === "Fast-AED (student)");
                   const point = chart.getDatasetMeta(set).data[0]; return [point.x, point.y]; }"""
    )
    canvas.hover(position={"x": x, "y": y})
    told = page.evaluate(
        """() => Chart.getChart(document.querySelector("#fast_aed-figure2 .interactive canvas")).tooltip.body
                   .flatMap((part) => part.lines)"""
    )
    assert any("frames/s" in line for line in told)
    assert any("measured here" in line for line in told)
    heights = """() => Chart.getChart(document.querySelector("#fast_aed-figure2 .interactive canvas"))
                         .data.datasets.map((set) => set.data[0].y)"""
    before = page.evaluate(heights)
    figure.get_by_role("checkbox").check()
    # The student's protocol lies 1.3 points above plain in these made-up numbers, the teachers' 0.7.
    assert sorted(round(a - b, 3) for a, b in zip(before, page.evaluate(heights), strict=True)) == [0.7, 0.7, 1.3, 1.3]


def test_scores_are_scrubbed_to_the_frame(page: "sync_api.Page") -> None:
    figure = page.locator("#fast_aed-figure4")
    figure.scroll_into_view_if_needed()
    slider, says = figure.get_by_role("slider"), figure.locator("output")
    says.wait_for()
    # It opens on the first abnormal frame.
    assert says.inner_text().startswith("frame 20: abnormal")
    picture = "() => document.querySelector('#fast_aed-figure4 canvas.frame').toDataURL()"
    before = page.evaluate(picture)
    slider.press("Home")
    assert says.inner_text().startswith("frame 0: normal")
    assert page.evaluate(picture) != before
    first = figure.locator("table.values td.number").all_inner_texts()
    slider.press("ArrowRight")
    assert says.inner_text().startswith("frame 1: normal")
    slider.press("End")
    assert says.inner_text().startswith("frame 59: normal")
    assert figure.locator("table.values td.number").all_inner_texts() != first
    canvas = figure.locator(".canvas canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] / 2, "y": box["height"] / 3})
    assert ": abnormal" in says.inner_text()


def test_the_printed_figure_is_a_click_away(page: "sync_api.Page") -> None:
    figure = page.locator("#fast_aed-figure2")
    assert not figure.locator("img").is_visible()
    figure.get_by_role("button", name="show as printed").click()
    assert figure.locator("img").is_visible()
    page.emulate_media(media="print")
    assert figure.locator("img").is_visible()
    assert not figure.locator(".interactive").is_visible()


def test_nothing_is_wider_than_a_phone(page: "sync_api.Page") -> None:
    page.set_viewport_size(PHONE)
    for one in page.locator("figure").all():
        one.scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_scripts_every_figure_is_a_picture(browser: "sync_api.Browser", address: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    assert all(image.is_visible() for image in page.locator("figure img").all())
    page.context.close()
