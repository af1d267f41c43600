"""Chromium without a window, driven by selenium through the system's own chromedriver.

Both are of the system (Debian: chromium, chromium-driver); nothing is downloaded.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
PATIENCE = 60  # seconds until a page or a script counts as hanging
WIDTH, HEIGHT = 1280, 900


def missing() -> list[str]:
    """Those of the two programs that are not installed."""
    return [name for name in PROGRAMS if not shutil.which(name)]


@contextmanager
def started(folder: Path) -> Iterator["Browser"]:
    """A browser with a profile of its own in `folder`; WebDriverException if it does not start."""
    os.environ.setdefault("SE_OFFLINE", "true")
    os.environ.setdefault("SE_AVOID_STATS", "true")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_page_load_timeout(PATIENCE)
        driver.set_script_timeout(PATIENCE)
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """A browser with one page."""

    def __init__(self, driver: webdriver.Chrome):
        self.driver = driver
        self.show()

    def send(self, method: str, **parameters) -> dict:
        """A command of the DevTools protocol, for what WebDriver has no command."""
        return self.driver.execute_cdp_cmd(method, parameters)

    def show(self, width: int | None = None, dark: bool = False, still: bool = False) -> None:
        """The window's width, a dark theme, and whether the person prefers that nothing moves."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width or WIDTH,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=bool(width),
        )
        self.send(
            "Emulation.setEmulatedMedia",
            media="",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
            ],
        )

    def open(self, path: Path) -> None:
        """Load a file and wait for it."""
        self.errors(), self.requests()
        self.driver.get(path.resolve().as_uri())
        self.run("document.fonts.ready.then(() => 0)")

    def errors(self) -> list[str]:
        """What script, policy and console reported since the last call, or since `open`."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that the page requested since the last call, data: URIs aside."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def run(self, expression: str):
        """The value of a JavaScript expression, awaited; JavascriptException if it raises."""
        return self.driver.execute_script(f"return ({expression})")

    def downloads(self, folder: Path) -> None:
        """Downloads of the page go to a folder from here on, unasked."""
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def downloaded(self, folder: Path, name: str) -> Path:
        """Wait for a file of this pattern in a folder of `downloads`; its path.

        An empty file stands there until the download is whole.
        """

        def whole(_):
            return [path for path in folder.glob(name) if path.stat().st_size]

        (path,) = WebDriverWait(self.driver, PATIENCE, 0.02).until(whole)
        return path

    def find(self, selector: str) -> WebElement:
        """The first element of a CSS selector; NoSuchElementException if there is none."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """A click on the middle of an element, scrolled into view."""
        self.find(selector).click()

    def press(self, keys: str | Sequence[str]) -> None:
        """Keys one after another, each a letter or one of selenium's `Keys`."""
        self.actions().send_keys(*keys).perform()

    def actions(self) -> ActionChains:
        """Mouse and keyboard, without pauses."""
        return ActionChains(self.driver, duration=0)

    def screenshot(self) -> bytes:
        """A PNG of the window."""
        return self.driver.get_screenshot_as_png()
