"""The built book as a reader's browser shows it: light, dark, on a phone, on paper, without script.

Each page of the table of contents is opened once in each view and looked at once; the tests ask
what was seen. So a new chapter is tested without a line, and a new question costs no new visit.
"""

import contextlib
import gzip
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import CDPSession, Page, TimeoutError

from tests.browser import VIEWS, chromium, compressed, opened, served
from tutor import ROOT

pytestmark = pytest.mark.long

AXE = next((ROOT / "tests").glob("axe-*.min.js.gz"))
WEIGHT = 1_200_000
"""Bytes of a page and all that it loads, as a server sends them, after reading to its end."""
LIVE_MODEL: set[str] = set()
"""Pages with a model that runs in the browser, which may weigh more."""

LOOK = r"""() => {
    // A formula that MyST did not read as one stands on the page with its dollar signs.
    const MARKUP = /\$|\\\(|\\\[|:::|\{[a-z]+\}`|\]\{\./;
    const article = document.querySelector(".bd-article");
    // In screens, the longest way from one picture, or quiz, to the next, with the boxes folded.
    let from = article.getBoundingClientRect().top, stretch = 0;
    const pictures = article.querySelectorAll(".drawing-box, .plotly-figure, .quiz");
    for (const picture of [...pictures].filter((e) => e.checkVisibility())) {
        const { top, bottom } = picture.getBoundingClientRect();
        stretch = Math.max(stretch, (top - from) / innerHeight);
        from = Math.max(from, bottom);
    }
    stretch = Math.max(stretch, (article.getBoundingClientRect().bottom - from) / innerHeight);
    article.querySelectorAll("details").forEach((fold) => (fold.open = true));
    // What is half faded in has half the contrast.
    document.getAnimations().forEach((animation) => animation.finish());
    const all = (selector) =>
        [...article.querySelectorAll(selector)].filter((e) => e.checkVisibility());
    const said = (e) => e.textContent.trim().slice(0, 70);
    // Cut off, or to be scrolled sideways: by itself or by a box around it.
    const cut = (e) => {
        if (e.scrollWidth > e.clientWidth + 1) return true;
        const { right } = e.getBoundingClientRect();
        for (let box = e.parentElement; box !== article.parentElement; box = box.parentElement)
            if (getComputedStyle(box).overflowX !== "visible")
                if (right > box.getBoundingClientRect().right + 1) return true;
        return right > innerWidth + 1;
    };
    const left = [];
    const walker = document.createTreeWalker(article, 4);
    while (walker.nextNode()) {
        const { data, parentElement } = walker.currentNode;
        const aside = "code, pre, script, style, template, mjx-container, svg";
        if (!parentElement.closest(aside) && MARKUP.test(data)) left.push(data.trim());
    }
    const lineLengths = all("section > p")
        .filter((p) => p.textContent.length > 400 && !p.querySelector("mjx-container, code, br"))
        .map((p) => {
            const lines = Math.round(p.clientHeight / parseFloat(getComputedStyle(p).lineHeight));
            return p.textContent.length / (lines - 0.5);  // the last line is half full
        });
    const headings = all("h1, h2, h3, h4, h5, h6").map((h) => {
        const style = getComputedStyle(h);
        return [+h.tagName[1], parseFloat(style.fontSize), +style.fontWeight];
    });
    return {
        stretch,
        width: document.documentElement.scrollWidth,
        theme: document.documentElement.dataset.theme,
        markup: left,
        formulas: article.querySelectorAll(".math.notranslate").length,
        set: article.querySelectorAll("mjx-container").length,
        wrong: article.querySelectorAll("mjx-merror").length,
        code: all("div.highlight pre").length,
        cutCode: all("div.highlight pre")
            .filter((e) => !e.closest(".cell_output"))
            .filter(cut)
            .map(said),
        cutOutputs: all(".cell_output :is(pre, table, .output)").filter(cut).map(said),
        cutTables: all("table").filter(cut).map(said),
        brokenNames: all("code.literal .pre")
            .filter((e) => e.closest("thead")?.clientWidth !== 1)  // for readers aloud only
            .filter((e) => {
                const line = parseFloat(getComputedStyle(e).lineHeight);
                return e.getBoundingClientRect().height > 1.5 * line && e.textContent.length < 32;
            })
            .map(said),
        lineLengths,
        headings,
        farOutputs: all(".cell_input + .cell_output").filter((e) => {
            const { bottom } = e.previousElementSibling.getBoundingClientRect();
            return e.getBoundingClientRect().top - bottom > 4;
        }).length,
        pictures: all(".plotly-figure").map((f) => !!f.querySelector(".figure-still svg path")),
        faces: [...document.fonts]
            .filter((f) => f.status === "error" || (/Text/.test(f.family) && f.status !== "loaded"))
            .filter((f) => f.style === "normal" && f.weight === "400")
            .map((f) => `${f.family}: ${f.status}`),
    };
}"""

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
VIOLATIONS = """async (tags) => {
    const found = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
    return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}`));
}"""

RINGLESS = """() => [
        ...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']"),
    ]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled)
    .filter((e) => {
        e.focus({ preventScroll: true });
        if (document.activeElement !== e) return false;
        const ring = (x) => {
            const style = getComputedStyle(x);
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        };
        return !ring(e) && !(e.closest("label") && ring(e.closest("label")));
    })
    .map((e) => e.outerHTML.slice(0, 90))"""
"""Controls that do not show that they have the keyboard's focus."""


# What there is to see


@pytest.fixture(scope="module")
def home(book):
    with served(book) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as context:
        yield context


def pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [f"{name}.html" for name in [toc["root"], *files]]


def containing(book: Path, mark: str) -> list[str]:
    found = [p for p in pages() if mark in (book / p).read_text("utf-8")]
    assert found, f"no page of the book has {mark}"
    return found


@pytest.fixture(scope="module")
def seen(book, home, browser) -> Callable[[str], dict[str, dict[str, Any]]]:
    """``seen(view)``: of each page, what there was to see; looked at when first asked for."""
    axe = gzip.decompress(AXE.read_bytes()).decode()

    @cache
    def look(view: str) -> dict[str, dict[str, Any]]:
        found = {}
        for path in pages():
            loaded: set[str] = set()
            note = lambda request, loaded=loaded: loaded.add(urlsplit(request.url).path)  # noqa: E731
            browser.on("request", note)
            with opened(browser, f"{home}/{path}", view) as (page, problems):
                seen = page.evaluate(LOOK)
                seen["screen"] = page.viewport_size["width"]
                seen["problems"] = list(problems)
                seen["bytes"] = sum(len(compressed(book / name.lstrip("/"))) for name in loaded)
                seen["libraries"] = sum("plotly" in name for name in loaded)
                if "phone" not in view:
                    page.evaluate(axe)
                    seen["axe"] = page.evaluate(VIOLATIONS, WCAG)
                if view == "light":
                    page.keyboard.press("Tab")
                    seen["ringless"] = page.evaluate(RINGLESS)
            browser.remove_listener("request", note)
            found[path] = seen
        return found

    return look


def wrong(seen: dict[str, dict[str, Any]], *facts: str) -> dict[str, Any]:
    """Of each page, what there is of facts that there should be none of."""
    named = {(path, fact): page[fact] for path, page in seen.items() for fact in facts}
    return {key: value for key, value in named.items() if value}


MOVING = """() => [...document.querySelectorAll("*")]
    .filter((e) => {
        const { animationName, transitionDuration, scrollBehavior } = getComputedStyle(e);
        const takes = transitionDuration.split(",").some((time) => parseFloat(time) > 0);
        return animationName !== "none" || takes || scrollBehavior === "smooth";
    })
    .map((e) => e.outerHTML.slice(0, 90))"""


# Every page


@pytest.mark.parametrize("view", VIEWS)
def test_pages_load_without_a_problem_fit_and_have_no_markup_left(seen, view):
    assert not wrong(seen(view), "problems", "markup", "wrong", "faces")
    for path, page in seen(view).items():
        assert page["width"] <= page["screen"], path
        assert page["theme"] == view.split("-")[-1], path
        assert page["set"] >= page["formulas"], path
        assert all(page["pictures"]), path


@pytest.mark.parametrize("view", VIEWS)
def test_no_code_output_table_or_name_is_cut(seen, view):
    assert sum(page["code"] for page in seen(view).values()) > 100
    assert not wrong(seen(view), "cutCode", "cutOutputs", "cutTables", "brokenNames", "farOutputs")


def test_lines_of_text_have_66_to_80_characters_where_there_is_room(seen):
    # A phone has room for so many of 16 pixels, and nobody reads smaller ones.
    for view, least in (("light", 66), ("dark", 66), ("phone-light", 46), ("phone-dark", 46)):
        lengths = sorted(n for page in seen(view).values() for n in page["lineLengths"])
        assert lengths
        middle = lengths[len(lengths) // 2]
        assert least <= middle <= 80, (view, middle)
        assert lengths[-1] < 88, view  # an estimate from a paragraph's height


def test_headings_stand_in_the_order_of_their_weight(seen):
    for path, page in seen("light").items():
        sizes: dict[int, set[float]] = {}
        last = 0
        for level, size, weight in page["headings"]:
            assert weight >= 600, path
            assert level <= last + 1, f"{path}: a heading of level {level} below one of {last}"
            last = level
            sizes.setdefault(level, set()).add(size)
        order = [size for level in sorted(sizes) for size in sizes[level]]
        assert order == sorted(order, reverse=True) and len(set(order)) == len(sizes), path


def test_folds_open_without_a_script_and_to_a_link_to_what_is_in_them(book, home, browser):
    path = containing(book, "dropdown admonition")[0]
    page = browser.new_page()
    off = {"value": True}
    page.context.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", off)
    page.goto(f"{home}/{path}")
    fold = page.locator("details.dropdown").first
    inside = fold.locator("> :not(summary)").first
    assert inside.is_hidden()
    fold.locator("summary").click()
    inside.wait_for()
    page.close()
    with opened(browser, f"{home}/{path}") as (page, _):
        page.locator("details.dropdown > :not(summary)").first.evaluate("e => (e.id = 'inside')")
        page.evaluate("location.hash = 'inside'")
        page.locator("#inside").wait_for()


def test_toggles_of_the_side_bars_say_whether_these_are_open(home, browser):
    for view, opens in (("light", "false"), ("phone-light", "true")):
        with opened(browser, f"{home}/{pages()[2]}", view) as (page, _):
            toggle = page.locator(".primary-toggle:visible")
            before = "false" if opens == "true" else "true"
            page.wait_for_selector(f".primary-toggle[aria-expanded={before}]")
            toggle.click()
            page.locator(f".primary-toggle[aria-expanded={opens}]").wait_for(state="attached")


def test_a_bar_leads_to_the_exercises_at_the_beginning_and_in_their_section(book, home, browser):
    for path in containing(book, 'class="exercise-bar"'):
        with opened(browser, f"{home}/{path}", "phone-light") as (page, _):
            bars = page.locator(".exercise-bar")
            assert bars.count() == 2
            assert bars.first.bounding_box()["y"] < page.viewport_size["height"]
            assert page.locator("#exercises > .exercise-bar").count() == 1
            links = bars.first.locator("a").evaluate_all("l => l.map(a => a.href)")
            word = Path(path).stem
            assert len(links) == 4 and all(f"exercises/{word}/" in link for link in links[1:])
            assert (book / urlsplit(links[3]).path.lstrip("/")).is_file()


def test_terms_and_citations_have_a_card_for_pointer_and_focus(book, home, browser):
    path = containing(book, 'id="terms"')[0]
    with opened(browser, f"{home}/{path}") as (page, problems):
        for kind in ("glossary.html#term-", "references.html#"):
            link = page.locator(f"p > a[href*='{kind}'], .bibtex-citation a[href*='{kind}']")
            link = link.locator("visible=true").first
            link.focus()
            card = page.get_by_role("tooltip")
            assert len(card.inner_text()) > 30
            assert link.get_attribute("aria-describedby") == card.get_attribute("id")
            page.keyboard.press("Escape")
            assert card.count() == 0
            link.hover()
            card.wait_for()
            page.mouse.move(0, 0)
            card.wait_for(state="detached")
        assert not problems


def test_search_finds_a_term_shows_its_sentence_and_marks_it_on_arrival(home, browser):
    with opened(browser, f"{home}/search.html?q=multi-head+attention") as (page, _):
        found = page.locator("#search-results li").filter(has=page.locator(".context"))
        found.first.wait_for()
        assert "attention" in found.first.locator(".context").inner_text().lower()
        found.first.locator("a").first.click()
        page.locator(".bd-article .highlighted").first.wait_for()
        assert page.locator(".bd-article .highlighted").count()


@pytest.mark.parametrize("view", ["light", "phone-light"])
def test_no_stretch_of_a_chapter_is_longer_than_four_screens_without_a_picture(book, seen, view):
    for path in containing(book, 'class="exercise-bar"'):
        assert seen(view)[path]["stretch"] <= 4, path


@pytest.mark.parametrize("view", ["light", "dark"])
def test_axe_finds_nothing_against_wcag_2_1_aa(seen, view):
    assert not wrong(seen(view), "axe")


def test_every_control_shows_its_focus(seen):
    assert not wrong(seen("light"), "ringless")


def test_nothing_moves_for_those_who_ask_for_less_motion(book, home, browser):
    with opened(browser, f"{home}/{containing(book, 'dropdown admonition')[0]}") as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        assert page.evaluate(MOVING)
        page.emulate_media(reduced_motion="reduce")
        assert_becomes(page, f"({MOVING})()", [])


def test_a_page_weighs_no_more_than_it_may_and_loads_plotly_once(seen):
    for path, page in seen("phone-light").items():
        assert page["bytes"] <= WEIGHT or path in LIVE_MODEL, (path, page["bytes"])
        assert page["libraries"] == (1 if page["pictures"] else 0), path


@pytest.mark.parametrize("view", VIEWS)
def test_report_on_the_front_page_names_the_mistake_and_has_room_for_its_lines(home, browser, view):
    with opened(browser, f"{home}/book/index.html", view) as (page, _):
        report = page.locator(".cell_output").filter(has_text="causal_mask")
        assert "You have met aligned to the wrong corner" in report.inner_text()
        summary = report.get_by_text(re.compile(r"^\d+ of \d+ cases fail"))
        assert summary.bounding_box()["width"] > report.bounding_box()["width"] / 2


def colour(page: Page, selector: str) -> str:
    return page.locator(selector).first.evaluate("e => getComputedStyle(e).color")


def test_formulas_and_text_share_their_colours(book, home, browser):
    for kind in ("tok-q", "tok-k", "tok-v"):
        both = [
            path
            for path in containing(book, f'class="{kind}"')
            if re.search(r"\\[QKVqkv]c?\b", (book / path).read_text("utf-8"))
        ]
        shades = set()
        for view in ("light", "dark"):
            with opened(browser, f"{home}/{both[0]}", view) as (page, _):
                text = colour(page, f".bd-article span.{kind}")
                formula = colour(page, f".bd-article mjx-container .{kind}")
                assert text == formula != colour(page, ".bd-article p")
                shades.add(text)
        assert len(shades) == 2


# Figures

STATE = """f => {
    const plot = f.querySelector(".figure-plot");
    const range = f.querySelector("input[type=range]");
    return JSON.stringify([
        range?.value,
        range?.getAttribute("aria-valuetext"),
        f.querySelector("output")?.textContent,
        plot.data.map((trace) => trace.visible ?? true),
        plot.layout.title?.text ?? "",
    ]);
}"""
AXES = """f => Object.entries(f.querySelector(".figure-plot")._fullLayout)
    .filter(([name]) => /^[xy]axis/.test(name)).map(([, axis]) => axis.range.join())"""


def becomes(page: Page, figure: Any, before: str) -> str:
    page.wait_for_function(
        f"([figure, before]) => ({STATE})(figure) !== before",
        arg=[figure.element_handle(), before],
    )
    return figure.evaluate(STATE)


def test_figures_answer_to_mouse_and_keyboard_and_follow_the_theme(book, home, browser):
    for path in containing(book, 'class="plotly-figure"'):
        with opened(browser, f"{home}/{path}") as (page, problems):
            for figure in page.locator(".plotly-figure").all():
                figure.scroll_into_view_if_needed()
                state = figure.evaluate(STATE)
                for slider in figure.locator("input[type=range]").all():
                    assert slider.evaluate("e => e.labels[0].textContent").strip()
                    slider.focus()
                    last = slider.get_attribute("max")
                    page.keyboard.press("End" if slider.input_value() != last else "Home")
                    state = becomes(page, figure, state)
                    box = slider.bounding_box()
                    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
                    if slider.get_attribute("max") != "1":
                        state = becomes(page, figure, state)
                kept = figure.locator("input[type=range]").evaluate_all("l => l.map(e => e.value)")
                for button in figure.locator(".figure-buttons button").all()[::-1]:
                    was = button.get_attribute("aria-pressed")
                    button.press("Enter")
                    assert button.get_attribute("aria-pressed") == "true"
                    if was != "true":
                        state = becomes(page, figure, state)
                    now = "l => l.map(e => e.value)"
                    assert figure.locator("input[type=range]").evaluate_all(now) == kept
                plot = figure.locator(".figure-plot")
                plot.focus()
                told = set()
                for key in ("ArrowRight", "ArrowRight"):
                    page.keyboard.press(key)
                    page.wait_for_function(
                        "([f, told]) => !['', ...told].includes("
                        "f.querySelector('.figure-reading').textContent)",
                        arg=[figure.element_handle(), list(told)],
                    )
                    told.add(figure.locator(".figure-reading").inner_text())
                page.keyboard.press("Escape")
            states = [f.evaluate(STATE) for f in page.locator(".plotly-figure").all()]
            font = ".figure-plot')].map(p => p._fullLayout.font.color)"
            light = page.evaluate(f"[...document.querySelectorAll('{font}")
            page.evaluate("document.documentElement.dataset.theme = 'dark'")
            page.wait_for_function(
                f"light => [...document.querySelectorAll('{font}"
                ".every((colour, i) => colour !== light[i])",
                arg=light,
            )
            assert [f.evaluate(STATE) for f in page.locator(".plotly-figure").all()] == states
            assert not problems


AT_REST = """() => new Promise((done) => {
    let last = null;
    const look = () => {
        if (scrollY === last) return done();
        last = scrollY;
        setTimeout(look, 150);
    };
    look();
})"""
"""A page that a finger has pushed goes on moving for a while."""


def touch(cdp: CDPSession, x: float, y: float, up: int = 0) -> None:
    """A finger that comes down there, moves up by so many pixels, and goes."""
    moves = [("touchMove", [{"x": x, "y": y - n}]) for n in range(20, up + 1, 20)]
    for kind, points in (("touchStart", [{"x": x, "y": y}]), *moves, ("touchEnd", [])):
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_finger_scrolls_past_a_figure_and_moves_its_slider(book, home, browser):
    for path in containing(book, 'class="plotly-figure"'):
        with opened(browser, f"{home}/{path}", "phone-light") as (page, problems):
            cdp = page.context.new_cdp_session(page)
            cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
            for figure in page.locator(".plotly-figure").all():
                assert figure.bounding_box()["width"] <= 390
                plot = figure.locator(".figure-plot")
                plot.evaluate("e => e.scrollIntoView({behavior: 'instant', block: 'center'})")
                axes, top = figure.evaluate(AXES), page.evaluate("scrollY")
                box = plot.bounding_box()
                touch(cdp, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, up=200)
                page.wait_for_function("top => scrollY > top + 100", arg=top)
                page.evaluate(AT_REST)
                assert figure.evaluate(AXES) == axes, path
                for slider in figure.locator("input[type=range]").all():
                    slider.evaluate("e => e.scrollIntoView({behavior: 'instant', block: 'center'})")
                    state, box = figure.evaluate(STATE), slider.bounding_box()
                    end = slider.input_value() == slider.get_attribute("max")
                    x = box["x"] + (4 if end else box["width"] - 4)
                    touch(cdp, x, box["y"] + box["height"] / 2)
                    becomes(page, figure, state)
            assert not problems


def test_a_figure_is_drawn_when_it_is_near_and_not_before(book, home, browser):
    path = containing(book, 'class="plotly-figure"')[0]
    with opened(browser, f"{home}/{path}", begin=False) as (page, _):
        assert page.locator("script[src*=plotly]").count() == 0
        figure = page.locator(".plotly-figure").first
        assert figure.locator(".main-svg").count() == 0
        assert figure.locator(".figure-still svg").is_visible()
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg").first.wait_for()
        assert figure.locator(".figure-still svg").is_hidden()


# Quizzes


def test_a_quiz_says_in_words_what_is_right_and_keeps_the_answer(book, home, browser):
    for path in containing(book, 'class="quiz"'):
        kept = {}
        with opened(browser, f"{home}/{path}") as (page, problems):
            for question in page.locator(".quiz-question").all():
                assert question.get_by_role("group").or_(question).first.is_visible()
                said, verdicts = question.get_by_role("status"), []
                for option in question.locator("label").all():
                    option.click()
                    page.wait_for_function(
                        "([e, old]) => e.textContent !== old",
                        arg=[said.element_handle(), verdicts[-1] if verdicts else ""],
                    )
                    verdicts.append(said.inner_text())
                assert len(set(verdicts)) == len(verdicts)
                assert sum(v.startswith("Right.") for v in verdicts) == 1, verdicts
                assert all(v.startswith(("Right. ", "Not this one. ")) for v in verdicts), verdicts
                kept[question.get_attribute("id")] = (
                    question.locator("label").all_inner_texts(),
                    verdicts[-1],
                )
            page.reload()
            for name, (options, verdict) in kept.items():
                question = page.locator(f"#{name}")
                assert question.locator("label").all_inner_texts() == options
                assert question.get_by_role("status").inner_text() == verdict
                assert question.locator("input:checked").count() == 1
            page.evaluate("localStorage.clear()")
            assert not problems


def test_arrows_choose_an_answer_and_enter_gives_it(book, home, browser):
    path = containing(book, 'class="quiz"')[0]
    with opened(browser, f"{home}/{path}") as (page, _):
        question = page.locator(".quiz-question").first
        said, options = question.get_by_role("status"), question.locator("input")
        check = question.get_by_role("button", name="Check the answer")
        assert check.is_disabled()
        options.first.focus()
        for _ in range(2):
            page.keyboard.press("ArrowDown")
            assert said.inner_text() == ""
        assert options.nth(2).is_checked() and check.is_enabled()
        page.keyboard.press("Enter")
        first = said.inner_text()
        assert first.startswith(("Right. ", "Not this one. "))
        page.keyboard.press("ArrowUp")
        assert said.inner_text() == first
        check.press("Enter")
        assert said.inner_text() != first
        page.evaluate("localStorage.clear()")


# Paper, and a browser without scripts


def assert_becomes(page: Page, script: str, wanted: list[str]) -> None:
    """``script`` gives that as soon as the page has been drawn anew."""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(
            f"wanted => JSON.stringify({script}) === wanted",
            arg=json.dumps(wanted, separators=(",", ":"), ensure_ascii=False),
        )
    assert page.evaluate(script) == wanted


@pytest.mark.parametrize("view", ["light", "dark"])
def test_paper_is_white_cuts_no_line_and_keeps_solutions_closed(book, home, browser, view):
    path = containing(book, "dropdown admonition")[0]
    spans = "document.querySelectorAll('.bd-article .highlight pre span[class]')"
    colors = f"[...{spans}].map(e => getComputedStyle(e).color)"
    lines = "[...document.querySelectorAll('.bd-article pre')].filter(p => p.checkVisibility())"
    cut = f"{lines}.filter(p => p.scrollWidth > p.clientWidth + 1).map(p => p.textContent)"
    folded = ".bd-article .dropdown.admonition > :not(.admonition-title)"
    with opened(browser, f"{home}/{path}", "light") as (page, _):
        light = page.evaluate(colors)
        assert light
    with opened(browser, f"{home}/{path}", view) as (page, _):
        page.emulate_media(media="print", color_scheme=view)
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.wait_for_function("document.documentElement.dataset.theme === 'light'")
        assert_becomes(page, colors, light)
        page.set_viewport_size({"width": 650, "height": 900})  # of a sheet
        assert_becomes(page, cut, [])
        assert page.locator(folded).count() and not page.locator(folded).first.is_visible()
        assert page.locator("details[open]").count() == 0
        for figure in page.locator(".plotly-figure").all():
            assert figure.locator(".figure-still svg").is_visible()
            assert figure.locator(".figure-plot").is_hidden()
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        page.emulate_media(media="screen", color_scheme=view)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{view}'")


def test_without_scripts_a_line_says_what_is_missing(book, home, browser):
    for mark in ('class="plotly-figure"', 'class="quiz"'):
        page = browser.new_page()
        off = {"value": True}
        page.context.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", off)
        page.goto(f"{home}/{containing(book, mark)[0]}")
        assert page.locator("noscript > .missing").first.is_visible()
        for figure in page.locator(".plotly-figure").all():
            assert figure.locator(".figure-still svg").is_visible()
            assert figure.locator("noscript > .missing").is_visible()
            assert figure.locator("input, .figure-plot").locator("visible=true").count() == 0
        for quiz in page.locator(".quiz").all():
            assert quiz.locator("noscript > .missing").is_visible()
        page.close()
