"""Charts: where values lie, and what is drawn of them."""

import re
from xml.etree import ElementTree

import pytest

from common.evaluation.page import charts, document


def test_an_axis_places_values_and_holds_those_outside():
    linear, decades = charts.Axis(-10, 10, ()), charts.Axis(1e-4, 1, (), log=True)
    assert [linear(value) for value in (-10, 0, 10, 99)] == [0, 0.5, 1, 1]
    assert [decades(value) for value in (1e-2, 1, 0)] == pytest.approx([0.5, 1, 0])


@pytest.mark.parametrize("values", [[0.0123, 0.0041], [22, 22], [0, 0], [-3, 1e5], [1e-9, 2e-9]])
def test_ticks_are_round_and_about_the_values(values):
    axis = charts.about(values)
    assert axis.low <= min(values) and max(values) <= axis.high
    assert 3 <= len(axis.ticks) <= 7
    texts = [text for _, text in axis.ticks]
    assert len(set(texts)) == len(texts), "ticks that read the same"
    assert [float(text) for text in texts] == pytest.approx([tick for tick, _ in axis.ticks])


@pytest.mark.parametrize("count", [1, 2, 3, 12, 200])
def test_epochs_are_whole_and_none_is_made_up(count):
    axis = charts.numbered(count)
    assert all(1 <= tick <= count and text.isdigit() for tick, text in axis.ticks)
    assert axis.ticks and axis.low <= 1 and count <= axis.high


def test_a_line_breaks_where_there_is_no_value():
    x, y = charts.numbered(4), charts.Axis(0, 1, ())
    line = charts.line("training", x, y, [(1, 0.5), (2, None), (3, 1), (4, 0)])
    assert line.path.count("M") == 2 and line.path.count("L") == 1 and len(line.marks) == 3


def test_a_long_line_has_no_marks():
    x, y = charts.numbered(51), charts.Axis(0, 1, ())
    points = [(epoch, 0.5) for epoch in range(1, 52)]
    assert len(charts.line("training", x, y, points[:50]).marks) == 50
    assert charts.line("training", x, y, points).marks == ()


def test_steps_have_the_heights_of_their_bins():
    x, y = charts.Axis(0, 3, ()), charts.Axis(0, 1, ())
    steps = charts.steps("made", x, y, [0, 1, 2, 3], [0, 1, 0.5])
    floor, top = charts.FRAME.height - charts.FRAME.bottom, charts.FRAME.top
    assert re.findall(r"V([\d.]+)", steps.path) == [
        f"{at:.1f}" for at in (floor, top, (floor + top) / 2, floor)
    ]


def test_a_panel_is_xml_with_a_role_and_a_name():
    x, y = charts.numbered(2), charts.about([1, 2])
    line = charts.line("mean", x, y, [(1, 1), (2, 2)])
    panel = charts.panel("a & b", "a < b", x, y, line, strip=["#000000", "#ffffff"])
    macros = document.environment(document.PACKAGE).get_template("macros.html").module
    root = ElementTree.fromstring(macros.chart(panel))
    assert root.get("aria-label") == "a < b" and root.get("role") == "img"
    assert len(root.findall("rect")) == 2 and len(root.findall("circle")) == 2
    assert "a & b" in [text.text for text in root.iter("text")]
