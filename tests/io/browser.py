"""A page as Chromium without a screen shows it, driven over a pipe by its DevTools protocol."""

import base64
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_FLAGS = (
    "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars",
    "--remote-debugging-pipe", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip


class Page:
    """One page; `call` sends a command of the protocol and waits for its answer."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._buffer, self._count, self._session = send, receive, b"", 0, None
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Runtime.enable")

    def call(self, method: str, **params: Any) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                part = os.read(self._receive, 1 << 20)
                if not part:
                    raise RuntimeError("chromium has ended")
                self._buffer += part
            line, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(line)
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(answer["params"]["exceptionDetails"])[:500])
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return found["result"].get("value")

    def open(self, path: Path, width: int, height: int) -> None:
        """Show a file and wait until it says that it is ready."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=path.absolute().as_uri())
        deadline = time.monotonic() + 60
        while self.ask("document.documentElement.dataset.ready") != "yes":
            assert time.monotonic() < deadline, self.ask("document.getElementById('note').textContent")
            time.sleep(0.05)

    def screenshot(self) -> np.ndarray:
        """(H, W, 3) uint8, after the next frame."""
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A page in a browser of its own, whose files lie in the folder `profile`."""
    (to_read, send), (receive, to_write) = os.pipe(), os.pipe()

    def fds() -> None:
        os.dup2(to_read, 13)
        os.dup2(to_write, 14)
        os.dup2(13, 3)
        os.dup2(14, 4)

    process = subprocess.Popen(
        ["chromium", *_FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=fds,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Page(send, receive)
    finally:
        process.terminate()
        process.wait(20)
        os.close(send)
        os.close(receive)
