"""Mutants: one thing wrong in a function or constant, and whether unit tests notice.

mutmut's operators make them, and one of this file for the texts between an f-string's braces. Left out are operators
that make what mypy refuses anyway (None for any value, calls without one of their arguments), and values in the bodies
of classes: tests hold those already when a mutant is put in.

As a program, `python -m tests.support.mutants FILE RESULTS` in the checkout's root: collects the tests once, and runs
them for each mutant in a process forked from there, where the mutated code is put into the functions that everything
holds already. No file is changed, so what tests start as a program of its own runs as it is. RESULTS gets the mutants
as JSON, with whether they survive.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import coverage
import libcst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file that is mutated on the lines that its tests run; `tests` lie in tests/unit."""

    file: str
    tests: tuple[str, ...]


TARGETS = (
    Target(file="components/payload/rules.py", tests=("components/payload/test_rules.py",)),
    Target(file="components/payload/sensitive.py", tests=("components/payload/test_sensitive.py",)),
    Target(
        file="components/commands/reprovision/proof.py",
        tests=("components/commands/reprovision/test_proof.py",),
    ),
    Target(file="components/payload/masking.py", tests=("components/payload/test_masking.py",)),
    Target(
        file="components/commands/reprovision/request.py",
        tests=tuple(
            f"components/commands/reprovision/test_{name}.py" for name in ("request", "waiting", "log", "followed")
        ),
    ),
    Target(
        file="components/commands/reprovision/record.py",
        tests=("components/commands/reprovision/test_record.py",),
    ),
    Target(
        file="components/commands/reprovision/rollback.py",
        tests=("components/commands/reprovision/test_rollback.py",),
    ),
    Target(file="components/stores/s3.py", tests=("components/stores/test_s3.py",)),
    Target(file="components/platforms/aws/machine.py", tests=("components/stores/test_s3.py",)),
    Target(file="components/payload/summary.py", tests=("components/payload/test_summary.py",)),
    Target(
        file="components/settings/problems.py",
        tests=("components/settings/test_problems.py",),
    ),
    Target(file="cl/transpiler/lint.py", tests=("cl/transpiler/test_lint.py",)),
)
LEFT_OUT = (
    mutators.operator_assignment,
    mutators.operator_augmented_assignment,
    mutators.operator_arg_removal,
    mutators.operator_lambda,
)
ENDLESS_S, ENDLESS = 60, 124
"""A mutant whose tests take longer than this many seconds is killed (exit code `ENDLESS`): a loop has lost its end."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Mutant:
    """A line of a file, and what stands there instead."""

    file: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}\n- {self.old}\n+ {self.new}"


def mutants(file: str, source: str, lines: set[int]) -> Iterator[tuple[Mutant, str]]:
    """All mutants of a file on these lines, each with the file's whole mutated text."""
    wrapper = MetadataWrapper(libcst.parse_module(source))
    visitor = _Visitor(wrapper.resolve(PositionProvider), lines)
    wrapper.module.visit(visitor)
    for node, replacement in visitor.found:
        text = libcst.ensure_type(wrapper.module.deep_replace(node, replacement), libcst.Module).code
        old, new = _changed(source.splitlines(), text.splitlines())
        yield Mutant(file=file, old=old, new=new), text


def _changed(old: list[str], new: list[str]) -> tuple[str, str]:
    """The lines in which two texts differ, each as one line."""
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return " ".join(map(str.strip, old)), " ".join(map(str.strip, new))


class _Visitor(libcst.CSTVisitor):
    def __init__(self, positions: Any, lines: set[int]) -> None:
        self.found: list[tuple[libcst.CSTNode, libcst.CSTNode]] = []
        self._positions = positions
        self._lines = lines
        self._inside: list[type] = []

    def on_visit(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.Annotation | libcst.Decorator | libcst.Import | libcst.ImportFrom):
            return False
        if isinstance(node, libcst.ClassDef | libcst.FunctionDef):
            self._inside.append(type(node))
        elif self._is_wanted(node):
            for kind, operator in OPERATORS:
                if isinstance(node, kind):
                    self.found += [(node, replacement) for replacement in operator(node)]
        return True

    def on_leave(self, original_node: libcst.CSTNode) -> None:
        if isinstance(original_node, libcst.ClassDef | libcst.FunctionDef):
            self._inside.pop()

    def _is_wanted(self, node: libcst.CSTNode) -> bool:
        if not self._inside:
            return True  # a constant
        position = self._positions.get(node)
        return self._inside[-1] is libcst.FunctionDef and (position is None or position.start.line in self._lines)


def _one_string(node: Any) -> Iterator[libcst.CSTNode]:
    """The first of a string's mutants: that its letters' case matters too is not asked."""
    yield from list(mutators.operator_string(node))[:1]


def _text_of_f_string(node: libcst.FormattedStringText) -> Iterator[libcst.CSTNode]:
    yield node.with_changes(value=f"XX{node.value}XX")


Operator = Callable[[Any], Any]
OPERATORS: list[tuple[type, Operator]] = [
    *(
        (kind, _one_string if operator is mutators.operator_string else operator)
        for kind, operator in mutators.mutation_operators
        if operator not in LEFT_OUT
    ),
    (libcst.FormattedStringText, _text_of_f_string),
]


def _in_child(work: Callable[[], int]) -> int:
    """The exit code of `work` in a process of its own, with nothing of it printed; `ENDLESS` of one that is."""
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(quiet, descriptor)
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    until = time.monotonic() + ENDLESS_S
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return ENDLESS


def _functions(namespace: dict[str, Any], module: str) -> Iterator[tuple[str, types.FunctionType]]:
    """Functions and methods that are made in a module, by their names."""
    for name, value in namespace.items():
        if isinstance(value, types.ModuleType):
            continue  # an SDK's is loaded, and warns, when it is asked for anything
        if isinstance(value, type) and value.__module__ == module:
            yield from ((f"{name}.{inner}", function) for inner, function in _functions(dict(vars(value)), module))
            continue
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        function = inspect.unwrap(function) if callable(function) else None
        if isinstance(function, types.FunctionType) and function.__module__ == module:
            yield name, function


def _put_in(file: str, text: str) -> None:
    """Make everything that is imported behave as if the file held this text."""
    name = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    module = sys.modules[name]
    mutated = types.ModuleType(name)
    mutated.__file__ = module.__file__
    mutated.__package__ = module.__package__
    sys.modules[name] = mutated  # where dataclasses look their types up
    exec(compile(text, str(module.__file__), "exec"), vars(mutated))
    sys.modules[name] = module
    functions = dict(_functions(vars(mutated), name))
    for key, function in _functions(vars(module), name):
        function.__code__ = functions[key].__code__
        function.__defaults__ = functions[key].__defaults__
        function.__kwdefaults__ = functions[key].__kwdefaults__
    holders = [vars(other) for other in sys.modules.values() if isinstance(other, types.ModuleType)]
    for key, value in vars(mutated).items():
        old = vars(module).get(key)
        if not key.startswith("__") and not isinstance(old, type | types.FunctionType | types.ModuleType):
            for holder in holders:
                if holder.get(key) is old:
                    holder[key] = value


class _Plugin:
    """Instead of running the collected tests: runs them for each mutant."""

    def __init__(self, target: Target, results: Path) -> None:
        self._target = target
        self._results = results

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed or not session.items:
            raise RuntimeError(f"no tests of {self._target.file} could be collected")
        source = Path(self._target.file).read_text()
        results = []
        for mutant, text in mutants(self._target.file, source, self._reached(session, source)):
            survives = _in_child(functools.partial(self._survives, session, text)) == 0
            results.append({**asdict(mutant), "survives": survives})
        self._results.write_text(json.dumps(results))
        return True

    def _survives(self, session: pytest.Session, text: str) -> int:
        _put_in(self._target.file, text)
        return _tests_fail(session)

    def _reached(self, session: pytest.Session, source: str) -> set[int]:
        data = self._results.with_suffix(".coverage")

        def work() -> int:
            _put_in(self._target.file, source)  # which must change nothing
            measured = coverage.Coverage(data_file=str(data), include=[self._target.file], config_file=False)
            measured.start()
            failed = _tests_fail(session)
            measured.stop()
            measured.save()
            return failed

        if code := _in_child(work):
            why = f"take longer than {ENDLESS_S} s" if code == ENDLESS else "fail"
            raise RuntimeError(f"the tests of {self._target.file} {why} without a mutant")
        found = coverage.CoverageData(str(data))
        found.read()
        return {line for measured in found.measured_files() for line in found.lines(measured) or ()}


def _tests_fail(session: pytest.Session) -> int:
    """1 as soon as one of the tests fails, or 0."""
    for item, following in itertools.zip_longest(session.items, session.items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def _main(file: str, results: str) -> int:
    target = next(target for target in TARGETS if target.file == file)
    os.environ["GENERATED"] = "100"  # of what a generator makes, for each mutant
    options = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
    return int(
        pytest.main([*options, *(f"tests/unit/{path}" for path in target.tests)], [_Plugin(target, Path(results))])
    )


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
