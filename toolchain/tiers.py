"""`make test`: the checks and tests in tiers, each with the tools it needs.

A tier whose tools can't be had is skipped on a laptop and fails where CI=true.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from toolchain import needs, packages, pulumi_cli
from toolchain.image import chosen
from toolchain.places import LOCAL_STACK, ROOT, VENV, environment
from toolchain.plugins import install
from toolchain.steps import SetupError, alone, say

COVERED = "cl/transpiler"
COVERING = ("-m", "covering", "tests/unit", "tests/golden")
"""What has to reach each line and branch of `COVERED`: tests with this mark, which say so themselves."""
SHOW_PASSES = "-raP"
"""What tests that passed have printed: how long machines were away, how soon a change was noticed."""
PYTHON = ("cl", "components", "docs", "toolchain", "loopback", "tests", "bench", "package", "__main__.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A group of checks: what has to be set up for it, the folders of its tests, how many tests run at once.

    `share` is pytest-xdist's `--dist`; `loadfile` keeps a file's tests together: they may share what is costly to make.
    `options` are pytest's.
    """

    name: str
    folders: tuple[str, ...] = ()
    prepare: Callable[[], None] = lambda: None
    workers: int = 2
    share: Literal["loadfile", "load"] = "loadfile"
    options: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a tier came to: counts of tests (of checks in `lint`), and a word beside them."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


def _prepare_unit() -> None:
    packages.install(packages.SSH_CLIENT + needs.of("").packages + (packages.SHELLS if _in_ci() else ()))


def _prepare_engine() -> None:
    packages.install(packages.SSH_CLIENT + (packages.SSH_SERVER if _in_ci() else ()))
    if _in_ci() and not shutil.which("chromedriver"):  # Ubuntu has it elsewhere than in its packages
        packages.install(packages.BROWSER)
    pulumi_cli.ensure()
    install.ensure("command")
    for name in needs.plugins().values():
        install.ensure(name, for_tests=True)


def _prepare_vm() -> None:
    _prepare_engine()
    packages.install(needs.of("").packages)  # the platform of the playground
    chosen.ensure_stand_in()


def _prepare_fresh() -> None:
    if os.geteuid() != 0:
        raise SetupError("root file systems of fresh computers are made and run as root", "sudo make test TIERS=fresh")
    packages.install(packages.ROOT_FILE_SYSTEMS)


TIERS = (
    Tier(name="lint", prepare=lambda: packages.install(packages.LINT)),
    Tier(name="unit", folders=("tests/unit", "tests/property"), prepare=_prepare_unit),
    Tier(name="golden", folders=("tests/golden",)),
    # They mostly wait and share nothing: each worker takes the next one, the slow ones first (`tests/conftest.py`).
    Tier(
        name="engine",
        folders=("tests/engine",),
        prepare=_prepare_engine,
        workers=6,
        share="load",
        options=("--maxschedchunk=1",),
    ),
    # Files with slow tests go out first; xdist would take those with most tests first.
    Tier(name="vm", folders=("tests/vm",), prepare=_prepare_vm, options=("--no-loadscope-reorder",)),
    # Many boots, and clouds through the package: not in `make test` by itself, which is to stay near half an hour.
    Tier(name="long", folders=("tests/long",), prepare=_prepare_vm, options=(SHOW_PASSES,)),
    # Computers that have nothing yet: downloads and builds all that `make up` needs, for each distribution.
    Tier(name="fresh", folders=("tests/fresh",), prepare=_prepare_fresh, workers=1, options=(SHOW_PASSES,)),
)
NAMES = tuple(tier.name for tier in TIERS)


def run(names: Sequence[str], arguments: Sequence[str] = ()) -> bool:
    """Run the named tiers in their order, `arguments` going to pytest; whether all is well.

    Ends with one line of counts. Raises SetupError for a name that is none.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise SetupError(f"no such tier: {', '.join(unknown) or '(none named)'}", f"there are: {', '.join(NAMES)}")
    outcomes: dict[str, Outcome] = {}
    for tier in TIERS:
        if tier.name not in names:
            continue
        started = time.monotonic()
        print(f"=== tier {tier.name}", flush=True)
        outcome = _run_tier(tier, arguments)
        outcomes[tier.name] = outcome
        verdict = "FAILED" if outcome.failed else "skipped" if outcome.note else "ok"
        note = f" ({outcome.note})" if outcome.note else ""
        seconds = time.monotonic() - started
        print(f"=== tier {tier.name}: {verdict} in {seconds:.0f} s{note}\n", flush=True)
    for name, outcome in outcomes.items():
        note = f"  {outcome.note}" if outcome.note else ""
        counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
        print(f"{name:<8}{counts}{note}")
    passed, failed, skipped = (
        sum(getattr(outcome, key) for outcome in outcomes.values()) for key in ("passed", "failed", "skipped")
    )
    print(f"total: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return not failed


def _run_tier(tier: Tier, arguments: Sequence[str]) -> Outcome:
    folders = [folder for folder in tier.folders if any((ROOT / folder).glob("**/test_*.py"))]
    if tier.folders and not folders:
        return Outcome(note="it has no tests yet")
    try:
        with alone():
            tier.prepare()
    except SetupError as error:
        say(f"error: {error}\n  hint: {error.hint}" if error.hint else f"error: {error}")
        if _in_ci():
            return Outcome(failed=1, note="what it needs can't be had")
        return Outcome(skipped=1, note="what it needs can't be had")
    outcome = _pytest(tier, folders, arguments) if folders else _lint()
    if tier.name == "golden" and not arguments:  # arguments choose tests: then there is nothing to measure
        _measure(outcome)
    return outcome


def _pytest(tier: Tier, folders: Sequence[str], arguments: Sequence[str]) -> Outcome:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "junit.xml")
        side_by_side = [f"--numprocesses={tier.workers}", f"--dist={tier.share}"]
        argv = [sys.executable, "-m", "pytest", f"--junitxml={report}", *side_by_side, *tier.options, *folders]
        argv += arguments
        code = subprocess.run(argv, cwd=ROOT, env=environment(LOCAL_STACK), check=False).returncode
        outcome = counted(report) if report.is_file() else Outcome()
    if code and not outcome.failed:  # interrupted, no test found, or pytest itself broke
        outcome.failed = 1
        outcome.note = f"pytest ended with exit code {code}"
    return outcome


def _measure(outcome: Outcome) -> None:
    """Fail the outcome unless the tests reach every line and branch of the transpiler; what they don't is printed."""
    with tempfile.TemporaryDirectory() as scratch:
        coverage, data = [sys.executable, "-m", "coverage"], f"--data-file={scratch}/data"
        tests = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *COVERING]
        for argv in (
            [*coverage, "run", data, "--branch", f"--source={COVERED}", *tests],
            [*coverage, "report", data, "--fail-under=100"],
        ):
            print(f"$ {' '.join(argv[1:4])} …", flush=True)
            if subprocess.run(argv, cwd=ROOT, env=environment(LOCAL_STACK), check=False).returncode:
                outcome.failed += 1
                outcome.note = f"{COVERED} is not covered in full"
                return
    outcome.passed += 1


def counted(report: Path) -> Outcome:
    """The counts in a JUnit report that pytest wrote."""
    suite = ElementTree.parse(report).getroot().find("testsuite")  # noqa: S314 # pytest wrote it
    if suite is None:
        return Outcome(failed=1, note="pytest wrote no counts")
    total, failures, errors, skipped = (int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    return Outcome(passed=max(total - failed - skipped, 0), failed=failed, skipped=skipped)


def _lint() -> Outcome:
    outcome = Outcome()
    for argv in lint_commands():
        print(f"$ {' '.join(argv[:4])}{' …' if len(argv) > 4 else ''}", flush=True)
        env = {**environment(LOCAL_STACK), "NO_MKDOCS_2_WARNING": "1"}  # of the theme's authors, about another program
        try:
            code = subprocess.run(argv, cwd=ROOT, env=env, check=False).returncode
        except FileNotFoundError:
            say(f"error: {argv[0]} is not there")
            code = 127
        if code:
            outcome.failed += 1
        else:
            outcome.passed += 1
    return outcome


def lint_commands() -> list[list[str]]:
    """The checks of the tier `lint`, as command lines from the checkout's root."""
    python = [name for name in PYTHON if (ROOT / name).exists()]
    return [
        [str(VENV / "bin" / "ruff"), "check", *python],
        [str(VENV / "bin" / "ruff"), "format", "--check", *python],
        [str(VENV / "bin" / "mypy"), *python],
        [str(VENV / "bin" / "lint-imports"), "--no-logo"],
        [str(VENV / "bin" / "python"), "-m", "mkdocs", "build", "--strict", "--quiet"],
        ["shellcheck", *map(str, shell_files())],
    ]


def shell_files() -> list[Path]:
    """All shell programs in git: files named *.sh, and those that start with a shell's `#!`."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = []
    for name in names.split("\0"):
        path = ROOT / name
        if not name or not path.is_file():
            continue
        with path.open("rb") as stream:
            first = stream.readline(80)
        if name.endswith(".sh") or (first.startswith(b"#!") and first.strip().endswith(b"sh")):
            found.append(Path(name))
    return sorted(found)
