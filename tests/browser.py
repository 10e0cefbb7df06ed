"""The built book in a real browser, for the tests and, as a script, for human eyes:

python tests/browser.py book/03_attention.html screenshots/
"""

import functools
import gzip
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tutor import ROOT

BUILT = ROOT / "_build" / "html"
SECONDS = 300
"""For whatever a browser or a server waits for: many times what a slow and busy machine needs."""
GRACE_SECONDS = 20
"""For a server to end by itself: there is nothing that it would have to save."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
VIEWS = {
    "light": (DESKTOP, "light"),
    "dark": (DESKTOP, "dark"),
    "phone-light": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}


@functools.cache
def compressed(path: Path) -> bytes:
    """As a server of the web sends it: what is compressed already, as it is."""
    content = path.read_bytes()
    return content if path.suffix in (".woff", ".woff2", ".png") else gzip.compress(content, 6)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


class _Gzip(_Quiet):
    protocol_version = "HTTP/1.1"  # connections stay open, as they do on the web

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = compressed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        if content[:2] == b"\x1f\x8b":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=31536000")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served(folder: Path, zipped: bool = False) -> Iterator[str]:
    handler = functools.partial(_Gzip if zipped else _Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def jupyterlab(
    folder: Path, settings: Path, command: tuple[str, ...] = ("jupyterlab",)
) -> Iterator[str]:
    """JupyterLab on ``folder`` with ``settings`` of its own; yields its address.

    command: the module that starts it, and its arguments; it chooses the folder itself.
    """
    settings.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", *command, "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={folder}"] if command[2] == "jupyterlab" else []
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(settings)}
    with (settings / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=folder
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + SECONDS
            while not _answers(f"{address}/api"):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no server:\n{Path(log.name).read_text()[-3000:]}")
                time.sleep(0.1)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()  # it waits for a kernel, which ends by itself when its server has
                server.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=SECONDS).close()
    except OSError:
        return False
    return True


def executable(names: tuple[str, ...] = CHROMIUM) -> str:
    """The first of them that is here. RuntimeError if none is."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise RuntimeError(f"no {names[0]} on PATH: apt-get install {names[0]}")
    return found


@contextmanager
def chromium(pixels: int = 1) -> Iterator[BrowserContext]:
    """A browser with an empty profile, which reaches this machine only.

    pixels: of the screen, for each of CSS; more is sharper on a screenshot and takes longer.
    """
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=executable(),
            headless=True,
            device_scale_factor=pixels,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        context.set_default_timeout(1000 * SECONDS)
        try:
            yield context
        finally:
            context.close()


@contextmanager
def opened(
    context: BrowserContext, url: str, view: str = "light", begin: bool = True
) -> Iterator[tuple[Page, list[str]]]:
    """The page, drawn to the end, and what went wrong on the way: an empty list if nothing did.

    begin: False for a page whose drawing the test itself wants to see.
    """
    size, theme = VIEWS[view]
    problems: list[str] = []
    page = context.new_page()
    page.on(
        "console", lambda m: problems.append(f"console: {m.text}") if m.type == "error" else None
    )
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("requestfailed", lambda r: problems.append(f"request failed: {r.url}"))
    page.on(
        "response", lambda r: problems.append(f"{r.status}: {r.url}") if r.status >= 400 else None
    )
    home = "/".join(url.split("/")[:3]) + "/"

    def route(route) -> None:
        if route.request.url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            problems.append(f"asks the network for {route.request.url}")
            route.abort()

    page.route("**/*", route)
    try:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=theme)
        page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
        page.goto(url, wait_until="load")
        if begin:
            settled(page)
        yield page, problems
    finally:
        page.close()


SETTLE = """async (seconds) => {
    const end = performance.now() + 1000 * seconds;
    const until = async (what, done) => {
        while (!done()) {
            if (performance.now() > end) throw new Error(`${what}: not yet`);
            await new Promise((next) => setTimeout(next, 20));
        }
    };
    await until("the page", () => document.readyState === "complete");
    scrollBy(0, 1);
    dispatchEvent(new Event("scroll"));  // of a page that is all in view
    await until("formulas", () => document.documentElement.dataset.formulas === "set");
    for (const figure of document.querySelectorAll(".plotly-figure")) {
        figure.scrollIntoView({ behavior: "instant", block: "center" });
        await until("a figure", () => figure.querySelector(".main-svg")?.checkVisibility());
    }
    scrollTo({ top: 0, behavior: "instant" });
    await document.fonts.ready;
}"""
"""Goes through the page as a reader does, until formulas and Plotly's figures are drawn."""


def settled(page: Page) -> None:
    page.evaluate(SETTLE, SECONDS)


def screenshots(pages: list[str], folder: Path, built: Path = BUILT) -> list[Path]:
    """Each page in pieces from top to bottom, light and dark, on a desktop and on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with served(built) as home, chromium(pixels=2) as context:
        for path in pages:
            for view in VIEWS:
                with opened(context, f"{home}/{path}", view) as (page, problems):
                    name = f"{path.removesuffix('.html').replace('/', '-')}-{view}"
                    size = {"width": page.viewport_size["width"], "height": 2400}
                    page.set_viewport_size(size)
                    settled(page)
                    height = page.evaluate("document.documentElement.scrollHeight")
                    for number, top in enumerate(range(0, height, size["height"]), start=1):
                        page.evaluate(f"scrollTo({{top: {top}, behavior: 'instant'}})")
                        page.wait_for_timeout(200)
                        written.append(folder / f"{name}-{number:02}.png")
                        page.screenshot(path=written[-1])
                    for problem in problems:
                        print(f"{path} {view}: {problem}", file=sys.stderr)
    return written


if __name__ == "__main__":
    *paths, destination = sys.argv[1:]
    for shot in screenshots(paths, Path(destination)):
        print(shot)
