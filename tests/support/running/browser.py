"""A real Chromium without a window; what is missing for it is installed, as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

T = TypeVar("T")

_SECONDS_MAX = 120.0
_AXE_FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgsnap/axe"
WIDE, NARROW = (1280, 900), (390, 844)
# Where this names a folder, each page that is looked at is left there as a picture.
_PICTURES = os.environ.get("SNAP_TEST_PICTURES")


# What makes the page wider than its window, if anything does: what scrolls by itself does not.
_WIDER = """
const page = document.documentElement;
if (page.scrollWidth <= page.clientWidth) return [];
return [...document.querySelectorAll("body *")]
  .filter(one => one.getBoundingClientRect().right > page.clientWidth && !one.closest(".scroll"))
  .map(one => one.outerHTML.slice(0, 80)).slice(0, 5);
"""


class Browser:
    """A browser window, and what tests ask of it. Everything is waited for."""

    def __init__(self, driver: Any, axe: str) -> None:
        self.driver = driver
        self._axe = axe
        self.sizes: tuple[tuple[int, int], ...] = (WIDE, NARROW)

    def until(self, look: Callable[[], T], what: str = "") -> T:
        """Return the first true value that *look* returns."""
        from selenium.common.exceptions import WebDriverException

        deadline = time.monotonic() + _SECONDS_MAX
        while True:
            try:
                if found := look():
                    return found
            except WebDriverException as error:
                # The page was replaced while it was looked at.
                what = f"{what} {error.msg}"[:500]
            assert time.monotonic() < deadline, f"{what}: {self.text()}"
            time.sleep(0.05)

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def heading(self, words: str) -> None:
        """Wait for the page with this heading."""
        script = "const found = document.querySelector('main h1'); return found && found.innerText"
        self.until(lambda: (found := self.run(script)) and words in found, words)

    def says(self, words: str) -> None:
        """Wait until the page shows *words*."""
        self.until(lambda: words in self.text(), words)

    def click(self, selector: str, words: str = "") -> None:
        """Click on the first thing that *selector* finds, with these *words* in it."""
        script = (
            "const found = [...document.querySelectorAll(arguments[0])]"
            ".find(one => one.textContent.includes(arguments[1]));"
            "if (found) { found.scrollIntoView({block: 'center'}); } return found"
        )

        def clicked() -> bool:
            found = self.run(script, selector, words)
            if found:
                found.click()
            return bool(found)

        self.until(clicked, f"{selector} {words}")

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    def type(self, selector: str, words: str) -> None:
        """Type into a field, in place of what stands there."""
        from selenium.webdriver.common.by import By

        def typed() -> bool:
            field = self.driver.find_element(By.CSS_SELECTOR, selector)
            field.clear()
            field.send_keys(words)
            return True

        self.until(typed, selector)

    def at(self) -> str:
        """Return the path and query of the page."""
        found = urlsplit(self.driver.current_url)
        return found.path + (f"?{found.query}" if found.query else "")

    def resize(self, size: tuple[int, int]) -> None:
        """Let the page have this size."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False},
        )

    def dark(self, *, on: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def problems(self, name: str) -> list[str]:
        """Look at this page at two widths, dark and light; return what is wrong: what is wider than
        the window, what axe finds, errors and violations of the policy on the console."""
        found = []
        for size in self.sizes:
            self.resize(size)
            if wide := self.run(_WIDER):
                found.append(f"{name} is wider than {size[0]}: {wide}")
            self._picture(f"{name}-{size[0]}")
        for on in (True, False):
            self.dark(on=on)
            found += [f"{name}: {one}" for one in self._violations()]
            if on:
                self._picture(f"{name}-dark")
        self.resize(WIDE)
        return found + [f"{name}: {one}" for one in self.complaints()]

    def complaints(self) -> list[str]:
        """Return what the browser's console complained of since it was last asked."""
        entries: list[Mapping[str, Any]] = self.driver.get_log("browser")
        return [str(one["message"]) for one in entries if one["level"] in ("SEVERE", "WARNING")]

    def _violations(self) -> list[str]:
        self.run(self._axe)
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
            ".then(result => done(result.violations), error => done([{id: String(error)}]))"
        )
        return [
            f"{one['id']}: {one.get('help')}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found
        ]

    def _picture(self, name: str) -> None:
        if _PICTURES:
            Path(_PICTURES).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(_PICTURES) / f"{name}.png"))


@contextmanager
def opened() -> Iterator[Browser]:
    """Yield a browser with nothing in it. Skips where there is none, and none can be installed."""
    pytest.importorskip("selenium", reason="needs selenium: run `make .venv/.installed`")
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException

    axe = _axe()
    _need("chromium", "chromium")
    _need("chromedriver", "chromium-driver")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for word in (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-extensions"),
            f"--user-data-dir={folder}",
        ):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        try:
            driver = webdriver.Chrome(options=options, service=service)
        except WebDriverException as error:
            pytest.skip(f"needs a Chromium that starts: {error.msg}")
        try:
            driver.set_page_load_timeout(_SECONDS_MAX)
            driver.set_script_timeout(_SECONDS_MAX)
            yield Browser(driver, axe)
        finally:
            driver.quit()


def _need(program: str, package: str) -> None:
    if shutil.which(program) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            # Several workers may come here at the same time.
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "-q",
             "--no-install-recommends", package],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: run `apt-get install {package}`")


def _axe() -> str:
    """Return the text of axe, which `make axe` installs."""
    path = _AXE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists() and shutil.which("npm"):
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(
            [*command, "--prefix", str(_AXE_FOLDER), "axe-core@4"],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
    if not path.exists():
        pytest.skip("needs axe-core: run `make axe`, with npm")
    return path.read_text("utf-8")
