"""A headless Chromium that tests open pages in, driven through its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PROGRAM = shutil.which("chromium")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """One open page."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number = socket, 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Do a command of the protocol and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def screenshot(self) -> np.ndarray:
        """(H, W, 3) uint8, what the page looks like."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def open(self, address: str) -> None:
        """Load a page in place of the one that is open."""
        self.call("Page.navigate", url=address)

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression; of a promise, what it comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click_text(self, text: str) -> None:
        """Click the control whose label or caption is a text."""
        find = """(text) => {
            const found = [...document.querySelectorAll('label, button')].find(e => e.textContent.trim() === text);
            const control = found && found.htmlFor ? document.getElementById(found.htmlFor) : found;
            if (control) control.click();
            return Boolean(control);
        }"""
        answer = self.call("Runtime.evaluate", expression=f"({find})({json.dumps(text)})", returnByValue=True)
        assert answer["result"].get("value") is True, f"the page has no {text!r}: {answer}"

    def click(self, x: float, y: float) -> None:
        """Click at a pixel of the page."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        time.sleep(0.3)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@contextmanager
def browser(profile: Path, width: int = 1200, height: int = 800) -> Iterator[Page]:
    """Start Chromium with its files in the folder `profile`; yields an empty page."""
    from websockets.sync.client import connect

    assert PROGRAM is not None
    command = [
        PROGRAM,
        *_FLAGS,
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
        "about:blank",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile / "DevToolsActivePort")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            pages = [p for p in json.load(answer) if p["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            page = Page(socket)
            page.call("Page.enable")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            page.call("Emulation.setDeviceMetricsOverride", **size)
            yield page
    finally:
        process.terminate()
        process.wait(30)


def _port(file: Path) -> int:
    end = time.monotonic() + 60
    while not (file.exists() and file.read_text().count("\n")):
        assert time.monotonic() < end, "Chromium did not start"
        time.sleep(0.1)
    return int(file.read_text().split("\n")[0])
