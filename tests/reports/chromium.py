"""Headless Chromium, and what the tests of pages ask of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """One Chromium, and what the tests ask of it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def show(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Open a page as on a screen of this width, for somebody who prefers this theme."""
        phone = width < 600
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        self.media("screen", scheme)
        self.command("Emulation.setScriptExecutionDisabled", value=False)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.as_uri())

    def media(self, media: str, scheme: str) -> None:
        """Screen or paper, and the theme that is preferred."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media=media, features=features)

    def command(self, name: str, **values: Any) -> Any:
        """Call the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def color(self, selector: str, name: str = "color") -> str:
        """A computed colour."""
        return str(
            self.run(
                "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]",
                selector,
                name,
            )
        )

    def column(self, place: int) -> list[str]:
        """A column of the first table, from the top."""
        return list(
            self.run(
                "return Array.from(document.querySelector('main table').tBodies[0].rows, "
                "(row) => row.cells[arguments[0]].textContent.trim())",
                place,
            )
        )


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Chromium with a profile of its own, until the end of the block."""
    binary, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    assert binary, "these tests need chromium on PATH"
    assert driver_path, "these tests need chromedriver on PATH"
    options = Options()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
