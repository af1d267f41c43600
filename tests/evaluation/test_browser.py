"""The pages in a browser, used by mouse, keyboard and on a phone."""

import json

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from common import datasets
from common.commands import survey_results as survey_results_command
from common.evaluation import models, rows
from common.survey import ask
from tests import drawn
from tests.evaluation.scoring import evaluated

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """The folder of an evaluation of one model and pictures that somebody else made of a part."""
    home = tmp_path_factory.mktemp("evaluation")
    dataset = datasets.prepare(
        drawn.folder(home / "drawn", 40),
        32,
        "squash",
        folder=home / "shards",
        fractions=(0.2, 0.05, 0.75),
    )
    model = drawn.exported(home / "run" / "a-model-of-a-rather-long-name.h5")
    (home / "run" / "history.csv").write_text(
        "epoch,loss,val_loss,val_psnr_rgb,mean_colour_psnr_rgb\n1,2,3,20,19\n2,1,2,21,19\n"
    )
    (home / "theirs").mkdir()
    names = dataset.names("test")
    for name, rgb in list(zip(names, dataset.read("test", range(len(names)))["rgb"], strict=True))[
        ::2
    ]:
        cv2.imwrite(str(home / "theirs" / name), rgb[::-1])
    evaluated([model], dataset, out=home / "out", predictions=[f"theirs={home / 'theirs'}"])
    return home / "out"


@pytest.fixture
def page(browser, evaluation):
    """The browser with the page just opened, in a window of the usual size."""
    browser.show()
    browser.open(evaluation / "index.html")
    return browser


@pytest.fixture
def results(evaluation):
    return rows.read(evaluation / "metrics.json")


def column(page, head, table=0):
    """The texts of a table's column by its head, from above, and the head's aria-sort."""
    return page.run(f"""(() => {{
        const table = document.querySelectorAll("table.figures")[{table}];
        const heads = [...table.tHead.rows[0].cells];
        const at = heads.findIndex((each) => each.textContent.startsWith("{head}"));
        return [[...table.tBodies[0].rows].map((row) =>
                    row.cells[at].dataset.value ?? row.cells[at].textContent),
                heads[at].getAttribute("aria-sort"), at];
    }})()""")


def shown(page):
    """The names of the visible pictures, in order."""
    return page.run("""[...document.querySelectorAll(".gallery li")].filter(
        (item) => item.checkVisibility()).map(
        (item) => item.querySelector("h3").textContent)""")


def choose(page, name, value):
    page.run(f"""(() => {{
        const select = document.getElementById("{name}");
        select.value = "{value}";
        select.dispatchEvent(new Event("change"));
    }})()""")


# --- the page of an evaluation ----------------------------------------------------------------


def test_the_page_requests_nothing_and_reports_no_error(page, evaluation):
    assert page.errors() == []
    assert page.requests() == [(evaluation / "index.html").as_uri()]
    assert page.run("""[...document.querySelectorAll(".gallery img")].every(
        (image) => image.naturalWidth)""")
    # nor do its controls
    page.click(".gallery li button")
    page.click("dialog [data-close]")
    page.click("thead button")
    choose(page, "order", "worst")
    assert page.errors() == page.requests() == []


def test_nothing_else_may_run_or_be_loaded(page):
    """The policy holds: what would be injected does not run."""
    assert (
        page.run("""new Promise((resolve) => {
        const script = Object.assign(document.createElement("script"),
                                     {textContent: "window.injected = 1"});
        const image = Object.assign(new Image(), {onerror: () => resolve(window.injected)});
        image.src = "https://example.org/x.png";
        document.body.append(script, image);
    })""")
        is None
    )
    errors = page.errors()
    assert len(errors) == 2
    assert all("Content Security Policy" in error for error in errors)


def test_the_table_sorts_by_a_click(page, results):
    before, order, _ = column(page, "Method")
    assert order is None and before[0].startswith("grey")
    head = column(page, "PSNR RGB")[2]
    button = f"table.figures thead th:nth-child({head + 1}) button"
    page.click(button)
    values, order, _ = column(page, "PSNR RGB")
    assert order == "descending", "the best first"
    assert values[-1] == "", "the true pictures have none, and stay last"
    numbers = list(map(float, values[:-1]))
    assert numbers == sorted(numbers, reverse=True)
    assert sorted(numbers) == sorted(row.figures["psnr_rgb"].mean for row in results.rows)
    page.click(button)
    values, order, _ = column(page, "PSNR RGB")
    assert order == "ascending" and values[-1] == ""
    assert list(map(float, values[:-1])) == sorted(numbers)
    # another column takes over
    page.click("table.figures thead th:first-child button")
    names, order, _ = column(page, "Method")
    assert order == "ascending" and column(page, "PSNR RGB")[1] is None
    assert names[0].startswith("a-model") and names[-1].startswith("true")


def test_every_column_of_every_table_sorts(page):
    for table in range(page.run('document.querySelectorAll("table.figures").length')):
        heads = page.run(f"""(() => {{
            const table = document.querySelectorAll("table.figures")[{table}];
            return [...table.tHead.rows[0].cells].map((head, at) => {{
                head.querySelector("button").click();
                const values = [...table.tBodies[0].rows].map((row) => at ? (
                    row.cells[at].dataset.value ?? null) : row.cells[at].textContent);
                return [head.getAttribute("aria-sort"), values];
            }});
        }})()""")
        for at, (order, values) in enumerate(heads):
            assert order in ("ascending", "descending")
            there = [value for value in values if value is not None]
            assert values[: len(there)] == there, "rows without a figure are last"
            if at:
                numbers = [float(value.replace("Infinity", "inf")) for value in there]
                assert numbers == sorted(numbers, reverse=order == "descending")


def test_the_table_sorts_by_the_keyboard(page):
    page.run("document.querySelector('.scroll').focus()")
    page.press(Keys.TAB * 4)
    assert page.run("document.activeElement.textContent").startswith("CIEDE2000")
    page.press(Keys.ENTER)
    assert column(page, "CIEDE2000")[1] == "ascending"
    page.press(Keys.SPACE)
    assert column(page, "CIEDE2000")[1] == "descending"
    assert page.run("document.activeElement.textContent").startswith("CIEDE2000"), "focus stays"


def test_pictures_are_ordered_by_any_metric_of_any_method(page, results):
    assert len(shown(page)) == 12
    row = results.model
    values = row.values["ciede2000"]
    names = {picture.name: value for picture, value in zip(results.pictures, values, strict=True)}
    choose(page, "metric", "ciede2000")
    choose(page, "order", "worst")
    worst = shown(page)
    assert len(worst) > 12 and names[worst[0]] == max(values)
    ordered = [names[name] for name in worst]
    assert ordered == sorted(ordered, reverse=True)
    # the figure stands under the picture, with its rank among all
    caption = page.run("""document.querySelector('.gallery li figure[data-at="1"] figcaption')
                          .textContent""")
    assert caption == f"{row.name} {max(values):.2f}, {len(values)} of {len(values)}"
    assert "CIEDE2000" in page.run("document.getElementById('by').textContent")
    choose(page, "order", "best")
    assert names[shown(page)[0]] == min(values)
    choose(page, "order", "median")
    assert sorted(values).index(names[shown(page)[0]]) in (len(values) // 2 - 1, len(values) // 2)
    # a folder with half of the pictures: the other half has no rank
    choose(page, "method", 2)
    assert 0 < len(shown(page)) < len(worst)
    choose(page, "order", "spread")
    assert len(shown(page)) == 12


def test_the_slider_moves_by_the_keyboard_and_changes_what_is_visible(page):
    button = ".gallery li button"
    page.click(button)
    assert page.run("document.querySelector('dialog').open")
    assert page.run("document.activeElement.type") == "range"
    page.press(Keys.END)
    left = stage(page)
    page.press(Keys.HOME)
    right = stage(page)
    assert page.run("document.activeElement.getAttribute('aria-valuetext')") == (
        "0 % a-model-of-a-rather-long-name, 100 % true"
    )
    assert np.abs(left - right).mean() > 1
    page.press(Keys.ARROW_RIGHT * 30)
    part = stage(page)
    edge = int(part.shape[1] * 0.3)
    np.testing.assert_array_equal(part[:, : edge - 30], left[:, : edge - 30])
    np.testing.assert_array_equal(part[:, edge + 30 :], right[:, edge + 30 :])
    page.press(Keys.ESCAPE)
    assert not page.run("document.querySelector('dialog').open")
    assert page.run("document.activeElement === document.querySelector('.gallery li button')")


def stage(page):
    """The visible part of both pictures, as int16."""
    box = page.run("""(() => {
        const {x, y, width, height} = document.querySelector(".stage").getBoundingClientRect();
        return [x, y, width, height].map(Math.round);
    })()""")
    x, y, width, height = box
    seen = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    return seen[y + 8 : y + height - 8, x : x + width].astype(np.int16)


def test_the_slider_follows_the_pointer(page):
    page.click(".gallery li button")
    stage, quarter = page.find(".stage"), page.find(".stage").rect["width"] / 4
    page.actions().click_and_hold(stage).move_by_offset(quarter, 0).perform()
    assert page.run("document.querySelector('dialog input').value") == "75"
    page.actions().release().move_to_element(stage).perform()
    assert page.run("document.querySelector('dialog input').value") == "75", "let go"


def test_any_two_columns_are_compared_and_the_next_picture_keeps_them(page):
    page.click(".gallery li button")
    page.run("""(() => {
        const [left, right] = document.querySelectorAll("dialog select");
        left.value = "0";
        right.value = "1";
        right.dispatchEvent(new Event("change"));
    })()""")
    sources = """[...document.querySelectorAll(".stage img")].map((image) => image.src)"""
    of_item = """[0, 1].map((at) => [...document.querySelectorAll(".gallery li")][{}]
                 .querySelector(`figure[data-at="${{at}}"] img`).src)"""
    assert page.run(sources) == page.run(of_item.format(0))
    page.click("dialog [data-step='1']")
    assert page.run(sources) == page.run(of_item.format(1))
    page.click("dialog [data-step='-1']")
    assert page.run(sources) == page.run(of_item.format(0))
    page.click("dialog [data-close]")
    assert not page.run("document.querySelector('dialog').open")
    page.click(".gallery li:nth-child(2) figure[data-at='0'] img")
    assert page.run(sources)[0] == page.run(of_item.format(1))[0], "a picture opens by a click"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out(page, dark):
    page.show(dark=dark)
    page.click(".gallery li button")
    assert faint(page) == []
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == dark


def faint(page):
    """Texts whose contrast with what lies behind them is below WCAG's 4.5, with the contrast."""
    return page.run("""(() => {
        const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const luminance = (rgb) => rgb.slice(0, 3).reduce((sum, value, at) => {
            const share = value / 255;
            const linear = share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            return sum + [0.2126, 0.7152, 0.0722][at] * linear;
        }, 0);
        const behind = (element) => {
            for (; element; element = element.parentElement) {
                const colour = parse(getComputedStyle(element).backgroundColor);
                if (colour.length === 3 || colour[3] === 1) return colour;
            }
            return parse("255 255 255");
        };
        const faint = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const element = walker.currentNode.parentElement, style = getComputedStyle(element);
            if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
            const colour = element.closest("svg") ? style.fill : style.color;
            const [low, high] = [luminance(parse(colour)), luminance(behind(element))].sort(
                (x, y) => x - y);
            const contrast = (high + 0.05) / (low + 0.05);
            if (contrast < 4.5) faint.push([walker.currentNode.textContent.trim(), contrast]);
        }
        return faint;
    })()""")


def test_nothing_is_wider_than_a_phone(page):
    page.show(width=360)
    assert page.run("document.documentElement.scrollWidth") == 360
    choose(page, "order", "best")
    page.click(".gallery li button")
    assert page.run("document.documentElement.scrollWidth") == 360
    beyond = page.run("""[...document.querySelectorAll(
        "dialog, dialog *, .gallery *, .controls *, h1, svg")].filter(
        (each) => each.checkVisibility() && each.getBoundingClientRect().right > 360.5).map(
        (each) => each.outerHTML.slice(0, 80))""")
    assert beyond == []


def test_everything_that_can_be_used_has_a_name(page):
    page.click(".gallery li button")
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    wanted = {"button", "combobox", "slider", "image", "img", "region", "dialog", "table", "link"}
    nameless = [
        node
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in wanted - {"table"}
        and not node["name"]["value"]
    ]
    assert nameless == []
    assert {"slider", "dialog"} <= {node["role"]["value"] for node in tree if not node["ignored"]}


def test_without_its_script_the_page_is_whole(browser, evaluation):
    browser.show()
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(evaluation / "index.html")
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert len(shown(browser)) > 12
    assert not browser.run("""document.querySelector(".controls").checkVisibility()""")
    assert not browser.run("""document.querySelector("dialog").checkVisibility()""")
    assert browser.run("document.querySelectorAll('button').length") == 3, "in the dialog"
    assert browser.run("document.querySelector('figcaption span').textContent")


def test_reduced_motion_is_respected(page):
    script = """getComputedStyle(document.querySelector(".gallery button")).transitionDuration"""
    assert page.run(script) != "0s"
    page.show(still=True)
    assert page.run(script) == "0s"


def test_paper_has_no_controls(page):
    page.send("Emulation.setEmulatedMedia", media="print")
    try:
        assert not page.run("""[...document.querySelectorAll(".controls, .gallery button")].some(
            (each) => each.checkVisibility())""")
        assert len(shown(page)) == 12
    finally:
        page.send("Emulation.setEmulatedMedia", media="")


# --- the survey -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The folder of a survey of four recoloured pictures and two originals, and its key."""
    home = tmp_path_factory.mktemp("asked")
    dataset = datasets.prepare(
        drawn.folder(home / "drawn", 30),
        32,
        "centre",
        folder=home / "shards",
        fractions=(0.2, 0.05, 0.75),
    )
    model = models.Model(drawn.exported(home / "tiny.h5"), "tiny", dataset, 4)
    survey = ask.make(model, dataset, "test", 4, 2)
    survey.write(home / "page")
    return home / "page", survey.key


def judged(page):
    """The hash of the visible picture."""
    return page.run("""[...document.querySelectorAll("[data-picture]")].filter(
        (image) => image.checkVisibility()).map((image) => image.dataset.picture).join()""")


def save(page, folder):
    """Save the verdicts into a folder; their file's content."""
    page.downloads(folder)
    page.click("#save")
    return json.loads(page.downloaded(folder, "verdicts-*.json").read_text())


def test_a_person_answers_and_the_command_reads_it(browser, asked, tmp_path, capsys):
    folder, key = asked
    kinds = {picture["sha256"]: picture["kind"] for picture in key["pictures"]}
    browser.show()
    browser.open(folder / "index.html")
    assert judged(browser) == ""
    browser.click("#start")
    order = []
    for at in range(6):
        assert browser.run("document.getElementById('progress').textContent") == (
            f"Picture {at + 1} of 6"
        )
        order.append(judged(browser))
        # this person takes all for real but the first recoloured one
        verdict = (
            "recoloured"
            if kinds[order[-1]] == "recoloured"
            and not any(kinds[each] == "recoloured" for each in order[:-1])
            else "real"
        )
        if at % 2:
            browser.click(f"[data-verdict={verdict}]")
        else:
            browser.press("c" if verdict == "recoloured" else "r")
    assert sorted(order) == sorted(kinds) and judged(browser) == ""
    assert browser.errors() == []
    assert browser.requests() == [(folder / "index.html").as_uri()]
    content = save(browser, tmp_path)
    assert [each["picture"] for each in content["verdicts"]] == order
    assert survey_results_command.main(["--in", str(tmp_path), "--key", str(folder)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 person, 4 recoloured and 2 original pictures" in out
    assert "recoloured taken for real 3 of 4 75.00%" in out
    assert "originals taken for recoloured 0 of 2" in out


def test_a_verdict_can_be_taken_back(browser, asked, tmp_path):
    browser.show()
    browser.open(asked[0] / "index.html")
    browser.press("r")
    assert judged(browser) == "", "nothing is judged before the start"
    browser.run("document.getElementById('start').focus()")
    browser.press(Keys.ENTER)
    first = judged(browser)
    browser.press("r")
    assert judged(browser) != first
    browser.press("b")
    assert judged(browser) == first
    for _ in range(6):
        browser.press("c")
    browser.click("#after [data-back]")
    assert browser.run("document.getElementById('progress').textContent") == "Picture 6 of 6"
    browser.press("r")
    verdicts = [each["verdict"] for each in save(browser, tmp_path)["verdicts"]]
    assert verdicts == ["recoloured"] * 5 + ["real"]


def test_each_person_has_an_order_and_a_number(browser, asked):
    browser.show()
    orders, people = set(), set()
    for _ in range(4):
        browser.open(asked[0] / "index.html")
        orders.add(browser.run("pictures.map((picture) => picture.dataset.picture).join()"))
        people.add(browser.run("person.join()"))
    assert len(people) == 4 and len(orders) > 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_survey_is_read_on_a_phone_by_day_and_by_night(browser, asked, dark):
    browser.show(width=360, dark=dark)
    browser.open(asked[0] / "index.html")
    for step in ("#start", *["[data-verdict=real]"] * 6):
        assert faint(browser) == []
        assert browser.run("document.documentElement.scrollWidth") == 360
        browser.click(step)
    assert faint(browser) == [] and browser.run("document.activeElement.id") == "thanks"
