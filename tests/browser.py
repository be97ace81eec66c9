"""A real browser for the pages: Debian's chromium, driven through selenium."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

DRAWN_S = 120  # on a machine that is busy
PHONE, DESK = 390, 1400


def lacking() -> str:
    """Why no browser can be driven here; empty where one can."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return "no browser here: apt-get install chromium chromium-driver"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "no selenium here: pip install -e '.[dev]'"
    return ""


needed = pytest.mark.skipif(bool(lacking()), reason=lacking())


class Browser:
    """Attributes:
    driver: selenium's.
    """

    def __init__(self, driver: Any):
        self.driver = driver

    def wide(self, width: int, dark: bool = False) -> None:
        shape = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        self.wait("document.body.dataset.drawn")

    def wait(self, what: str) -> Any:
        """Until a JavaScript expression is true; its value."""
        from selenium.common.exceptions import WebDriverException

        until = time.monotonic() + DRAWN_S
        while True:
            with suppress(WebDriverException):  # in the moment in which a page gives way to another
                if value := self.js(f"return {what}"):
                    return value
            assert time.monotonic() < until, f"never: {what}; {self.said()}"
            time.sleep(0.05)

    def js(self, code: str, *args: Any) -> Any:
        return self.driver.execute_script(code, *args)

    def said(self) -> list[str]:
        """What the console said since the last look."""
        return [f"{m['level']}: {m['message']}" for m in self.driver.get_log("browser")]

    def pdf(self) -> bytes:
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", {})["data"])


@contextmanager
def browser() -> Iterator[Browser]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
