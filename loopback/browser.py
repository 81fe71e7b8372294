"""A real browser without a window, through its driver: Chromium and chromedriver (Debian: chromium, chromium-driver).

What is spoken with the driver is W3C WebDriver, which is JSON over HTTP: a handful of requests, and no package for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopback.sshd import free_port

KEYS = {"Tab": "\ue004", "Enter": "\ue007"}
PACKAGES = "chromium and chromium-driver"


def is_there() -> bool:
    """Whether there is such a browser on this computer."""
    return bool(_program() and shutil.which("chromedriver"))


def _program() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """One window. `url` is that of its session."""

    url: str

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """A command of WebDriver: GET without a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def open(self, file: Path) -> float:
        """Open a page, and wait until it can be used; the seconds that took."""
        began = time.monotonic()
        self.ask("/url", {"url": file.as_uri()})
        while not self.run("return document.documentElement.dataset.ready === 'yes'"):
            assert time.monotonic() - began < 60, self.ask("/log", {"type": "browser"})
            time.sleep(0.02)
        return time.monotonic() - began

    def run(self, script: str) -> Any:
        """The value that JavaScript returns on the page."""
        return self.ask("/execute/sync", {"script": script, "args": []})

    def type(self, *keys: str) -> None:
        """Type into what has the focus: text, or names in `KEYS`."""
        pressed = [key for text in keys for key in ([KEYS[text]] if text in KEYS else text)]
        actions = [{"type": kind, "value": key} for key in pressed for kind in ("keyDown", "keyUp")]
        self.ask("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in CSS pixels."""
        self.ask("/window/rect", {"width": width, "height": height})

    def errors(self) -> list[str]:
        """What the page has complained about since it was last asked: errors of scripts, refused requests."""
        return [entry["message"] for entry in self.ask("/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]


@contextlib.contextmanager
def browser(folder: Path, *arguments: str) -> Iterator[Browser]:
    """A browser that has its files in `folder`, and ends with the block."""
    port = free_port()
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    with (folder / "driver.log").open("wb") as log:
        driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log, env=environment)
    options = {
        "goog:chromeOptions": {
            "binary": _program(),
            "args": ["--headless=new", "--no-sandbox", f"--user-data-dir={folder}/user", *arguments],
        },
        "goog:loggingPrefs": {"browser": "ALL"},
    }
    start = Browser(url=f"http://127.0.0.1:{port}")
    session = ""
    try:
        began = time.monotonic()
        while not session:
            try:
                session = start.ask("/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
            except urllib.error.URLError:
                assert time.monotonic() - began < 30, (folder / "driver.log").read_text()
                time.sleep(0.1)
        yield Browser(url=f"{start.url}/session/{session}")
    finally:
        if session:
            request = urllib.request.Request(f"{start.url}/session/{session}", method="DELETE")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(request, timeout=30).close()
        driver.terminate()
        driver.wait(timeout=30)
