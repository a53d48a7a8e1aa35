"""Headless Chromium for the tests of web pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

DESKTOP, PHONE = (1_200, 1_000), (390, 844)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Headless Chromium that records the console messages of pages."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, Service(str(shutil.which("chromedriver")))) as chrome:
        yield chrome


def set_size(driver: webdriver.Chrome, size: tuple[int, int]) -> None:
    """Emulate a screen of this size."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
    )
