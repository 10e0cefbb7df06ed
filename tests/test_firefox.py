"""The built book in Firefox: in short what tests/test_browser.py asks of it in Chromium.

Playwright drives only a Firefox of its own make. The one that readers have listens by itself, to
WebDriver BiDi (w3.org/TR/webdriver-bidi), and of that a few commands are enough.
"""

import itertools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websocket import create_connection

from tests.browser import GRACE_SECONDS, SECONDS, SETTLE, VIEWS, executable, served
from tests.test_browser import LOOK, STATE, containing

pytestmark = pytest.mark.long

PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.prefs.recommended": True,  # Firefox's own list for browsers that a program drives
}
KEYS = {"End": "\ue010", "Home": "\ue011", "ArrowDown": "\ue015", "Enter": "\ue007"}


class Page:
    """A tab: what it shows, what can be done in it, and what went wrong in it."""

    def __init__(self, connection, home: str):
        self.connection, self.home = connection, home
        self.numbers = itertools.count(1)
        self.problems: list[str] = []
        self.tab = ""

    def send(self, method: str, **params) -> dict[str, Any]:
        number = next(self.numbers)
        self.connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.connection.recv())
            if said["type"] == "event":
                self.note(said["method"], said["params"])
            elif said["id"] == number:
                if said["type"] == "error":
                    raise RuntimeError(f"{method}: {said['error']}: {said['message']}")
                return said["result"]

    def note(self, event: str, about: dict[str, Any]) -> None:
        if about.get("context", about.get("source", {}).get("context")) != self.tab:
            return  # of a tab that has been closed
        url = about.get("request", {}).get("url", "")
        if event == "log.entryAdded" and about["level"] == "error":
            self.problems.append(f"console: {about['text']}")
        elif event == "network.fetchError" and about["errorText"] != "NS_BINDING_ABORTED":
            # Aborted is what the page itself has called off.
            self.problems.append(f"request failed: {url}, {about['errorText']}")
        elif event == "network.responseCompleted" and about["response"]["status"] >= 400:
            self.problems.append(f"{about['response']['status']}: {url}")
        elif event == "network.beforeRequestSent" and not url.startswith(
            (self.home, "data:", "blob:")
        ):
            self.problems.append(f"asks the network for {url}")

    def open(self, path: str, view: str = "light") -> None:
        size, theme = VIEWS[view]
        self.tab = self.send("browsingContext.create", type="tab")["context"]
        self.send("browsingContext.setViewport", context=self.tab, viewport=size)
        chosen = f"() => location.host && localStorage.setItem('mode', '{theme}')"
        self.send("script.addPreloadScript", functionDeclaration=chosen, contexts=[self.tab])
        url = f"{self.home}{path}"
        self.send("browsingContext.navigate", context=self.tab, url=url, wait="complete")
        self.evaluate(SETTLE, SECONDS)

    def evaluate(self, function: str, *arguments) -> Any:
        """What a function of the page's gives for arguments; both go through JSON."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        done = self.send(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({function})({given})) ?? 'null')()",
            target={"context": self.tab},
            awaitPromise=True,
        )
        if done["type"] == "exception":
            raise RuntimeError(done["exceptionDetails"]["text"])
        return json.loads(done["result"]["value"])

    def wait_until(self, function: str, *arguments) -> None:
        poll = f"""async (seconds, ...given) => {{
            const end = performance.now() + 1000 * seconds;
            while (!({function})(...given)) {{
                if (performance.now() > end) throw new Error("waited in vain");
                await new Promise((next) => setTimeout(next, 20));
            }}
        }}"""
        self.evaluate(poll, SECONDS, *arguments)

    def press(self, key: str) -> None:
        actions = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self.send("input.performActions", context=self.tab, actions=[keyboard])

    def click(self, element: str) -> None:
        """With the mouse, in the middle of what the expression ``element`` gives."""
        middle = f"""() => {{
            ({element}).scrollIntoView({{ behavior: "instant", block: "center" }});
            const {{ left, right, top, bottom }} = ({element}).getBoundingClientRect();
            return [Math.round((left + right) / 2), Math.round((top + bottom) / 2)];
        }}"""
        x, y = self.evaluate(middle)
        actions: list[dict] = [{"type": "pointerMove", "x": x, "y": y}]
        actions += [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        self.send("input.performActions", context=self.tab, actions=[mouse])


@contextmanager
def firefox() -> Iterator[str]:
    """A Firefox with an empty profile; yields the address that it listens at."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder)
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items())
        (profile / "user.js").write_text("\n".join(lines), "utf-8")
        command = [executable(("firefox-esr", "firefox")), "--headless", "--no-remote"]
        command += ["--profile", folder, "--remote-debugging-port=0"]
        log = profile / "log.txt"
        with log.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            listens, deadline = "WebDriver BiDi listening on ", time.monotonic() + SECONDS
            while listens not in (said := log.read_text("utf-8")):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no Firefox:\n{said[-3000:]}")
                time.sleep(0.1)
            yield said.partition(listens)[2].split()[0]
        finally:
            process.terminate()
            try:
                process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def page(book) -> Iterator[Page]:
    with served(book) as home, firefox() as address:
        connection = create_connection(
            f"{address}/session", timeout=SECONDS + GRACE_SECONDS, suppress_origin=True
        )
        page = Page(connection, f"{home}/")
        page.send("session.new", capabilities={})
        page.send("session.subscribe", events=["log", "network"])
        yield page
        page.send("session.end")
        connection.close()


@pytest.fixture(autouse=True)
def alone(page) -> Iterator[None]:
    page.problems.clear()
    yield
    page.evaluate("() => localStorage.clear()")
    page.send("browsingContext.close", context=page.tab)


@pytest.fixture(scope="module")
def chapter(book) -> str:
    """A page with one of everything."""
    for path in containing(book, 'class="plotly-figure"'):
        text = (book / path).read_text("utf-8")
        if 'type="range"' in text and 'class="quiz"' in text and 'class="math notranslate' in text:
            return path
    raise AssertionError("no page has one of everything")


@pytest.mark.parametrize("view", VIEWS)
def test_a_chapter_is_drawn_whole_and_without_a_problem(page, chapter, view):
    page.open(chapter, view)
    assert "Firefox" in page.evaluate("() => navigator.userAgent")
    seen = page.evaluate(LOOK)
    assert page.evaluate("() => innerWidth") == VIEWS[view][0]["width"] >= seen["width"]
    assert seen["theme"] == view.split("-")[-1]
    assert seen["set"] >= seen["formulas"] > 0
    assert seen["pictures"] and all(seen["pictures"])
    faults = ("wrong", "markup", "faces", "cutCode", "cutOutputs", "cutTables", "brokenNames")
    assert not {fault: seen[fault] for fault in faults if seen[fault]}
    assert not page.problems


def test_a_console_error_is_a_problem(page, chapter):
    page.open(chapter)
    page.evaluate("() => console.error('out of order')")
    page.evaluate("() => fetch('nowhere.html')")
    assert [problem.partition(":")[0] for problem in page.problems] == ["console", "404"], (
        page.problems
    )


def test_a_figure_answers_to_the_keyboard(page, chapter):
    page.open(chapter)
    state = f"() => ({STATE})(document.querySelector('.plotly-figure:has(input[type=range])'))"
    before = page.evaluate(state)
    slider = "document.querySelector('.plotly-figure input[type=range]')"
    page.evaluate(f"() => {slider}.focus()")
    page.press("Home" if page.evaluate(f"() => {slider}.value") != "0" else "End")
    page.wait_until(f"(before) => ({state})() !== before", before)
    assert not page.problems


def test_a_quiz_answers_and_keeps_the_answer(page, chapter):
    page.open(chapter)
    question = "document.querySelector('.quiz-question')"
    said = f"() => {question}.querySelector('[role=status]').innerText"
    verdicts: list[str] = [""]
    for number in range(page.evaluate(f"() => {question}.querySelectorAll('label').length")):
        page.click(f"{question}.querySelectorAll('label')[{number}]")
        page.wait_until(f"(before) => ({said})() !== before", verdicts[-1])
        verdicts.append(page.evaluate(said))
    assert len(set(verdicts)) == len(verdicts) > 4
    assert sum(verdict.startswith("Right. ") for verdict in verdicts) == 1
    page.send("browsingContext.reload", context=page.tab, wait="complete")
    page.wait_until(f"(last) => ({said})() === last", verdicts[-1])
    assert not page.problems
