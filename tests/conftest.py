"""Tiers and the fixtures that several of them share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from components.commands.sign import KEY_VARIABLE
from loopback import sshd as ssh_server
from loopback.pulumi import Pulumi, plugin_in_use
from toolchain import needs, places

TESTS = Path(__file__).parent
PROJECT = "name: test\nruntime: python\n"
Project = Callable[..., Pulumi]
settings.register_profile("untimed", deadline=None)  # how long an example takes is no law: computers are busy
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder, which is its tier.

    Slow ones start first: left for the end, one of them would run while the other workers are idle.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        item.add_marker(tier)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which provider plugins the engine's tests ran with: the real ones, or this project's stand-ins."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    if any(report.nodeid.startswith("tests/engine/") for report in reports):
        for name in ("command", *needs.plugins().values()):
            terminalreporter.write_line(plugin_in_use(name))


def missing(what: str) -> None:
    """A tool that a test needs is not there: skip on a laptop, fail where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    return ssh_server.free_port()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's home folder, without keys, and no agent."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return tmp_path / "home"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[ssh_server.Sshd]:
    """A throw-away SSH server of this user, for the length of a test."""
    if ssh_server.find_sshd() is None:
        missing("sshd (Debian package openssh-server)")
    with ssh_server.run_sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture(scope="session")
def pulumi_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PULUMI_HOME of its own, with the plugins that set-up installed."""
    if shutil.which("pulumi") is None:
        missing("pulumi (run `make test`, which sets it up)")
    home = tmp_path_factory.mktemp("pulumi-home")
    places.PLUGINS.mkdir(parents=True, exist_ok=True)
    (home / "plugins").symlink_to(places.PLUGINS)
    return home


@pytest.fixture
def pulumi(tmp_path: Path, pulumi_home: Path) -> Iterator[Project]:
    """Makes stacks: `pulumi("…a Python program…")`, or `pulumi(FOLDER)` for a project that exists.

    The stack has a backend of its own, and for an existing project a settings file of its own;
    it is destroyed after the test.
    """
    stacks: list[Pulumi] = []

    def make(project: str | Path, *, name: str = "stack", env: dict[str, str] | None = None) -> Pulumi:
        scratch = tmp_path / name
        scratch.mkdir()
        config_file = None
        if isinstance(project, str):
            directory = scratch / "project"
            directory.mkdir()
            (directory / "Pulumi.yaml").write_text(PROJECT)
            (directory / "__main__.py").write_text(project)
        else:
            directory, config_file = project, scratch / "Pulumi.test.yaml"
            config_file.write_text("config: {}\n")
        made = Pulumi(directory=directory, scratch=scratch, home=pulumi_home, env=env or {}, config_file=config_file)
        made.start()
        stacks.append(made)
        return made

    yield make
    for stack in stacks:
        if stack.is_populated():
            stack.destroy()
