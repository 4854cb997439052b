"""Pages: whole, self-contained, escaped, legible, the same for the same input."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from hkd_edge.report.page import (
    NOTHING,
    Section,
    badge,
    columns,
    figure,
    folded,
    paragraph,
    preformatted,
    render_page,
    table,
)
from hkd_edge.report.svg import draw, frame
from hkd_edge.report.theme import COLOURS, WRITTEN, contrast_ratio, mix
from tests.report.html_checks import Page

NASTY = "<b>\"T-shirt\" & 'co' $5 $6</b>"


def a_plot(name: str = "curve", title: str = "A curve") -> str:
    def paint(drawn: Figure) -> str:
        axes = drawn.subplots()
        axes.plot([1, 2], [3, 4], marker="o", label=title)
        axes.legend()
        frame(axes, "epoch", NASTY)
        return f"{title}: 3 then 4"

    return draw(name, title, (300, 200), paint)


def a_page(title: str = "a run") -> str:
    parts = [
        paragraph(NASTY, badge("passed", "good")),
        table(NASTY, ["class", "top-1 %"], [[NASTY, "93.40"], ["coat", NOTHING]], note=NASTY),
        columns([figure(a_plot("first", NASTY), NASTY), figure(a_plot("second"), "two")]),
        folded("recipe", preformatted("name: <x>")),
    ]
    return render_page(title, "a subtitle", [Section("Speed & size", parts[0]), Section("All", columns(parts[1:]))])


def test_a_page_is_well_formed_self_contained_and_told_in_words() -> None:
    page = Page(a_page())
    assert page.problems == []
    assert [each["scope"] for each in page.of("th")] == ["col", "col", "row", "row"]
    assert page.of("svg")[0]["role"] == "img"


def test_the_same_input_gives_the_same_bytes() -> None:
    assert a_page() == a_page()


def test_text_is_escaped_and_shown_as_it_is() -> None:
    html = a_page(NASTY)
    assert "<b>" not in html
    assert Page(html).text.count(NASTY) >= 8


def test_the_text_of_a_plot_stays_text_in_the_font_and_colours_of_the_page() -> None:
    svg = a_plot()
    assert ">epoch</text>" in svg
    assert "DejaVu" not in svg
    assert "var(--quiet)" in svg
    assert "#fe00" not in svg
    assert "A curve: 3 then 4" in svg


def test_columns_of_numbers_are_numeric_and_those_with_words_are_not() -> None:
    html = table("t", ["name", "a", "b"], [["x", "1,234.5", "no"], ["y", NOTHING, "2"]])
    assert html.count('class="number"') == 3


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 cells like the headers, got 1"):
        table("t", ["a", "b"], [["1"]])


def test_two_sections_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a title of its own"):
        render_page("t", "s", [Section("A", paragraph("")), Section("a", paragraph(""))])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_legible_on_the_page_and_on_panels(name: str, theme: int) -> None:
    for under in ("page", "panel"):
        assert contrast_ratio(COLOURS[name][theme], COLOURS[under][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_what_is_drawn_stands_out_from_the_page(theme: int) -> None:
    assert contrast_ratio(COLOURS["axis"][theme], COLOURS["page"][theme]) >= 3


def test_contrast_of_known_pairs() -> None:
    assert contrast_ratio("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)  # the lightest grey that WCAG allows
    assert contrast_ratio("#ffffff", "#ffffff") == 1
    assert mix("#ff0000", "#0000ff", 0.5) == "#800080"
