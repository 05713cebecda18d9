"""Debian's chromium, headless, by the DevTools protocol over two pipes: no port, no library."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any, Self

_DEADLINE_SECONDS = 60.0
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, and open only our own files
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Return the program, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One tab. What the page logs and requests is remembered."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._received = b""
        self._last_id = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def attach(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def open(self, file: Path, *, width: int, dark: bool = False) -> None:
        """Open a file in a window of a width, and wait until it is loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        while not self.seen("Page.loadEventFired"):
            self._take(self._read())

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def seen(self, method: str) -> list[dict[str, Any]]:
        """Return what has been told of a kind of event since the page was opened."""
        return [event["params"] for event in self.events if event["method"] == method]

    def pdf(self) -> bytes:
        """Print the page on A4."""
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(answer["data"])

    def screenshot(self, width: int, height: int) -> bytes:
        """Return the upper left of the page as a PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._last_id += 1
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": self._last_id, "method": method, "params": parameters, **session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (message := self._read()).get("id") != self._last_id:
            self._take(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self.events.append(message)

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while b"\0" not in self._received:
            ready, _, _ = select([self._answers], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "chromium does not answer"
            read = os.read(self._answers, 1 << 16)
            assert read, "chromium has ended"
            self._received += read
        message, self._received = self._received.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Run the browser with a fresh profile; it has one page."""
    program = find_chromium()
    assert program, "there is no chromium"
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    # The protocol wants descriptors 3 and 4; a shell gives them these numbers.
    script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(commands, answers).attach()
    finally:
        os.close(commands)  # which ends it
        os.close(answers)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
