"""Chromium without a window, driven over a pipe by its DevTools protocol: nothing to install."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60  # seconds without an answer: the browser hangs, and the tests must not
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowRight": 39,
}


def find():
    """The browser's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A running browser with one page; a context manager. ConnectionError if it ends or hangs.

    `errors` are the page's complaints: of its script, its policy and its console. `requests` are
    the addresses that it asked for, data: URIs aside.
    """

    def __init__(self, folder, width=1280, height=900):
        self.folder, self.size = Path(folder), (width, height)
        self.errors, self.requests = [], []
        self._buffer, self._number, self._loaded = b"", 0, False

    def __enter__(self):
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        command = [
            find(),
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--user-data-dir={self.folder / 'profile'}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "-", *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.show()
        return self

    def __exit__(self, *_):
        self._send("Browser.close")
        self._process.wait(PATIENCE)
        os.close(self._in)
        os.close(self._out)

    # --- the protocol: JSON messages that end with a NUL ---

    def send(self, method, **parameters):
        """A command to the page; its result."""
        return self._send(method, self._session, **parameters)

    def _send(self, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _receive(self):
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], PATIENCE)[0]:
                raise ConnectionError("it does not answer")
            chunk = os.read(self._in, 1 << 20)
            if not chunk:
                raise ConnectionError("it has ended")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        given = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(given["exceptionDetails"])
            case "Runtime.consoleAPICalled":
                self.errors.append(given["args"])
            case "Log.entryAdded":
                self.errors.append(given["entry"]["text"])
            case "Network.requestWillBeSent":
                if not given["request"]["url"].startswith("data:"):
                    self.requests.append(given["request"]["url"])

    # --- what a person does ---

    def show(self, width=None, dark=False, still=False):
        """The window's width, a dark theme, and whether the person wants nothing to move."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width or self.size[0],
            height=self.size[1],
            deviceScaleFactor=1,
            mobile=bool(width),
        )
        self.send(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
            ],
        )

    def open(self, path):
        """Load a file and wait for it."""
        self._loaded = False
        self.errors.clear()
        self.requests.clear()
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        while not self._loaded:
            self._note(self._receive())
        self.run("document.fonts.ready.then(() => 0)")

    def run(self, script):
        """The value of a JavaScript expression, awaited; an exception of it fails."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key):
        """A key, by its DOM name, or a letter."""
        code = KEYS.get(key) or ord(key.upper())
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def middle(self, selector):
        """(x, y) of the middle of an element, scrolled into view."""
        found = self.run(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: "center", inline: "center", behavior: "instant"}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        return tuple(found)

    def mouse(self, kind, x, y):
        """A mouse event: mousePressed, mouseMoved or mouseReleased."""
        self.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left",
            buttons=0 if kind == "mouseReleased" else 1,
            clickCount=1,
        )

    def click(self, selector):
        """A click in the middle of the element."""
        x, y = self.middle(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def screenshot(self, path=None, whole=False):
        """A PNG of the window, or of the whole page, as bytes; written to `path` if given."""
        answer = self.send(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=whole,
            **({"clip": self._whole()} if whole else {}),
        )
        png = base64.b64decode(answer["data"])
        if path:
            Path(path).write_bytes(png)
        return png

    def _whole(self):
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {**size, "scale": 1}


def _pipe():
    """(end to read, end to write), numbered above 3 and 4, which Chromium reads and writes."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved
