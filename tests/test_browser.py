"""The built book as a reader's browser shows it: light, dark, and on a phone."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError

from tests.browser import VIEWS, chromium, opened, served

pytestmark = pytest.mark.long

MARKUP = r"""() => {
    const walker = document.createTreeWalker(document.querySelector(".bd-article"), 4);
    const left = [];
    while (walker.nextNode()) {
        const { data, parentElement } = walker.currentNode;
        const aside = parentElement.closest("code, pre, script, style, mjx-container, svg");
        if (!aside && /\$|\\\(|\\\[|:::|\{[a-z]+\}`|\]\{\./.test(data)) left.push(data.trim());
    }
    return left;
}"""
"""A formula that MyST did not read as one stands on the page with its dollar signs."""

FIGURES = "[...document.querySelectorAll('.plotly-figure')].map(f => f._fullLayout)"
MOVED = f"{FIGURES}.some(layout => (layout.sliders ?? []).some(s => s.active))"
REDRAWN = f"light => {FIGURES}.every(layout => layout.font.color !== light)"


@pytest.fixture(scope="module")
def home(book):
    with served(book) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as context:
        yield context


def pages(book: Path) -> list[str]:
    return sorted(p.relative_to(book).as_posix() for p in (book / "book").rglob("*.html"))


def containing(book: Path, mark: str) -> list[str]:
    found = [p for p in pages(book) if mark in (book / p).read_text("utf-8")]
    assert found, f"no page of the book has {mark}"
    return found


@pytest.mark.parametrize("view", VIEWS)
def test_pages_load_without_a_problem_fit_and_have_no_markup_left(book, home, browser, view):
    for path in pages(book):
        with opened(browser, f"{home}/{path}", view) as (page, problems):
            assert not problems, (path, problems)
            width = page.viewport_size["width"]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert page.evaluate("document.documentElement.dataset.theme") == view.split("-")[-1]
            formulas = page.locator(".bd-article .math.notranslate").count()
            assert page.locator(".bd-article mjx-container").count() >= formulas, path
            assert page.locator("mjx-merror").count() == 0, path
            assert page.evaluate(MARKUP) == [], path


@pytest.mark.parametrize("view", VIEWS)
def test_report_on_the_front_page_names_the_mistake_and_has_room_for_its_lines(home, browser, view):
    with opened(browser, f"{home}/book/index.html", view) as (page, _):
        report = page.locator(".cell_output").filter(has_text="causal_mask")
        assert "You have met aligned to the wrong corner" in report.inner_text()
        summary = report.get_by_text(re.compile(r"^\d+ of \d+ cases fail"))
        assert summary.bounding_box()["width"] > report.bounding_box()["width"] / 2


def colour(page, selector: str) -> str:
    return page.locator(selector).first.evaluate("e => getComputedStyle(e).color")


@pytest.mark.parametrize("kind", ["tok-q", "tok-k", "tok-v"])
def test_formulas_and_text_share_their_colours(book, home, browser, kind):
    both = [
        path
        for path in containing(book, f'class="{kind}"')
        if re.search(r"\\[QKVqkv]c?\b", (book / path).read_text("utf-8"))
    ]
    seen = set()
    for view in ("light", "dark"):
        with opened(browser, f"{home}/{both[0]}", view) as (page, _):
            text = colour(page, f".bd-article span.{kind}")
            formula = colour(page, f".bd-article mjx-container .{kind}")
            assert text == formula != colour(page, ".bd-article p")
            seen.add(text)
    assert len(seen) == 2


def test_interactive_figures_follow_the_theme_and_keep_their_slider(book, home, browser):
    for path in containing(book, 'class="plotly-figure"'):
        with opened(browser, f"{home}/{path}", "phone-light") as (page, problems):
            figures = page.locator(".plotly-figure")
            for index in range(figures.count()):
                assert figures.nth(index).locator(".main-svg").first.is_visible()
                assert figures.nth(index).bounding_box()["width"] <= 390
            light = figures.first.evaluate("e => e._fullLayout.font.color")
            active = "e => (e._fullLayout.sliders ?? []).map(s => s.active)"
            sliders = page.locator(".plotly-figure .slider-group")
            if sliders.count():
                sliders.first.scroll_into_view_if_needed()
                box = sliders.first.locator(".slider-rail-touch-rect").bounding_box()
                page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
                page.wait_for_function(MOVED)
            moved = [figures.nth(i).evaluate(active) for i in range(figures.count())]
            page.evaluate("document.documentElement.dataset.theme = 'dark'")
            page.wait_for_function(REDRAWN, arg=light)
            assert [figures.nth(i).evaluate(active) for i in range(figures.count())] == moved
            assert not problems


def test_each_answer_of_a_quiz_gets_its_own_feedback(book, home, browser):
    for path in containing(book, "show_questions"):
        with opened(browser, f"{home}/{path}") as (page, problems):
            for quiz in page.locator(".Quiz").all():
                feedback = []
                for answer in quiz.locator("label.MCButton").all():
                    answer.click()
                    feedback.append(quiz.locator(".Feedback").inner_text().strip())
                    assert "$" not in quiz.inner_text() and "\\(" not in quiz.inner_text()
                assert all(feedback) and len(set(feedback)) == len(feedback), feedback
            assert not problems


def assert_becomes(page, script: str, wanted: list[str]) -> None:
    """``script`` gives that as soon as the page has been drawn anew."""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(
            f"wanted => JSON.stringify({script}) === wanted",
            arg=json.dumps(wanted, separators=(",", ":"), ensure_ascii=False),
        )
    assert page.evaluate(script) == wanted


@pytest.mark.parametrize("view", ["light", "dark"])
def test_paper_is_white_and_cuts_no_line(book, home, browser, view):
    path = containing(book, 'class="highlight')[0]
    spans = "document.querySelectorAll('.bd-article .highlight pre span[class]')"
    colors = f"[...{spans}].map(e => getComputedStyle(e).color)"
    lines = "[...document.querySelectorAll('.bd-article pre')]"
    cut = f"{lines}.filter(p => p.scrollWidth > p.clientWidth + 1).map(p => p.textContent)"
    with opened(browser, f"{home}/{path}", "light") as (page, _):
        light = page.evaluate(colors)
        assert light
    with opened(browser, f"{home}/{path}", view) as (page, _):
        page.emulate_media(media="print", color_scheme=view)
        page.wait_for_function("document.documentElement.dataset.theme === 'light'")
        assert_becomes(page, colors, light)
        page.set_viewport_size({"width": 650, "height": 900})  # of a sheet
        assert_becomes(page, cut, [])
        page.emulate_media(media="screen", color_scheme=view)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{view}'")
