"""A Space in a process of its own, and a browser that looks at it."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from tests.spaces.conftest import SPACE


# Debian's browser; nothing that a browser does by itself on the network.
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
START_SECONDS = 120


@contextmanager
def served(environ: dict[str, str], log: Path):
    """`python app.py` with these variables; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("GRADIO_", "HF_MEL_"))}
    variables |= {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | environ
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=SPACE, env=variables, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield lambda: _ready(process, f"http://127.0.0.1:{port}/", log)
    finally:
        process.terminate()
        process.wait(20)


def _ready(process: subprocess.Popen, url: str, log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return url
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"the Space did not start:\n{log.read_text()[-3000:]}")


class Watched:
    """A page, and what went wrong on it or left this machine."""

    def __init__(self, page):
        self.page = page
        self.outside: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            self.outside.append(request.url)

    def _console(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url')})")


def save_screenshot(page, path: Path, full_page: bool = False) -> None:
    """A PNG of at most 256 colours, which a page of flat colours hardly misses."""
    content = page.screenshot(full_page=full_page, animations="disabled")
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


# ---- What is looked at in a page ----

# Text that is seen, with its colour, what is behind it, and its contrast (WCAG 2.2).
CONTRASTS = """() => {
  const part = value => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4 };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255] };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const ground = element => { if (!element) return [255, 255, 255];
    const own = read(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement)) };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName) || element.closest("[disabled]")) continue;
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (box.width < 2 || box.height < 2) continue;
    const back = ground(element), front = over(read(style.color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    found.push({ text: text.slice(0, 60), contrast: (high + 0.05) / (low + 0.05), least: large ? 3 : 4.5 });
  }
  return found;
}"""

# What stands out to the right of the window, without what is cut off on purpose.
TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 1 && box.right > innerWidth + 1 && element.checkVisibility({ visibilityProperty: true });
}).map(element => element.outerHTML.slice(0, 120))"""

# Elements that move, or would when they change.
MOVING = """() => [...document.querySelectorAll("body *")].filter(element => {
  const style = getComputedStyle(element);
  return style.animationName !== "none" || style.transitionDuration.split(",").some(each => parseFloat(each) > 0);
}).map(element => element.outerHTML.slice(0, 120))"""

OUTLINE = """() => { const style = getComputedStyle(document.activeElement);
  return [document.activeElement.outerHTML.slice(0, 160), style.outlineStyle, parseFloat(style.outlineWidth)] }"""

CONTROLS = ("button", "textbox", "slider", "spinbutton", "tab", "checkbox", "radio", "combobox", "link")


def nameless(page) -> list[str]:
    """Controls to which the browser's accessibility tree gives no name, and pictures without a text."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    controls = [each for each in nodes if not each["ignored"] and each["role"]["value"] in CONTROLS]
    assert len(controls) > 10
    pictures = page.evaluate("() => [...document.querySelectorAll('img:not([alt])')].map(each => each.outerHTML)")
    return pictures + [each["role"]["value"] for each in controls if not each.get("name", {}).get("value", "").strip()]
