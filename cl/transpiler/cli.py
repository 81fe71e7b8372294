"""The command line: it takes the flags of `butane` and those of `ct`, so that it can stand in for either.

A config goes in by file or standard input, JSON comes out by file or standard output, findings go to standard
error. Exit status 0: written (or, with --check, fit to be); 1: not, and nothing is written; 2: wrong usage.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from cl.transpiler.report import Report

USAGE = """\
usage: python -m cl.transpiler [options] [FILE]

Turns a Butane config or a Container Linux Config into an Ignition config. Without FILE, or with -, it reads standard
input. With --check there may be several FILEs.

  -p, --pretty            indent the JSON
  -s, --strict            fail on any finding
  -c, --check             write no JSON
  -o, --output FILE       write to FILE instead of standard output (ct: --out-file)
  -d, --files-dir DIR     where `local` paths start
      --in-file FILE      read FILE (ct)
      --platform NAME     the platform for {PLACEHOLDERS} of a Container Linux Config (ct)
      --dialect NAME      auto (a `variant` key means Butane), butane, clc, or ignition for Ignition JSON
      --spec NAME         native, or 3: a Container Linux Config becomes Ignition 3 as well
      --to butane         write a Container Linux Config as Butane, which makes the same machine
                          (${...} stays: where it is no variable, write $${...} before filling)
      --snippet FILE      merge FILE over the config; may be given again
      --variables FILE    fill ${NAME} from FILE, a JSON object of texts ("-": standard input)
      --raw-errors        one line per finding
      --format NAME       text, or github: findings as annotations of a pull request
      --schema NAME       print the JSON Schema of butane or clc, for editors, and exit
      --color[=WHEN]      auto, always or never
  -r, --raw               no effect (butane)
  -V, --version           print the version and exit
  -h, --help              print this and exit

Long options may have one dash, as ct's have.
"""

_SWITCHES = {
    "pretty": "p", "strict": "s", "check": "c", "raw": "r", "raw-errors": "", "version": "V", "help": "h", "debug": "D",
}  # fmt: skip
_VALUES = {
    "output": "o", "out-file": "", "files-dir": "d", "in-file": "", "input": "", "platform": "", "dialect": "",
    "spec": "", "to": "", "variables": "", "snippet": "", "format": "", "schema": "",
}  # fmt: skip
_COLORS = {"always": True, "yes": True, "never": False, "no": False}
_SHORT = {short: name for name, short in {**_SWITCHES, **_VALUES}.items() if short}


class UsageError(Exception):
    """Exit status 2: the arguments make no sense."""


class FailedError(Exception):
    """Exit status 1: `str()` is the last line to print."""


@dataclass(slots=True)
class Arguments:
    """The arguments, sorted."""

    switches: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    snippets: list[str] = field(default_factory=list)
    color: str = "auto"
    files: list[str] = field(default_factory=list)


def parse_arguments(arguments: Sequence[str]) -> Arguments:
    """Raises UsageError."""
    out = Arguments()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            out.files += rest
            break
        if not word.startswith("-") or word == "-":
            out.files.append(word)
            continue
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if name in ("color", "colour"):
            out.color = value if equals else "always"
        elif name in _SWITCHES and len(name) > 1:
            _switch(out, name, value if equals else "true")
        elif name in _VALUES:
            _set(out, name, value if equals else _next(rest, word))
        elif word.startswith("--"):
            raise _unknown(word)
        else:
            _cluster(out, word, rest)
    return out


def _unknown(option: str) -> UsageError:
    from cl.transpiler.report import did_you_mean

    option = option.partition("=")[0]
    hint = did_you_mean(f"--{option.lstrip('-')}", [f"--{name}" for name in (*_SWITCHES, *_VALUES, "color")])
    return UsageError(f"unknown option {option}" + (f", {hint}" if hint else ""))


def _cluster(out: Arguments, word: str, rest: list[str]) -> None:
    """Short options in one word: `-ps`, `-s=false`, `-oFILE`, `-o=FILE`, `-o FILE`."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = _SHORT.get(letter)
        if name is None:
            raise _unknown(word)
        if name in _VALUES:
            _set(out, name, letters.removeprefix("=") if letters else _next(rest, f"-{letter}"))
            return
        if letters.startswith("="):
            _switch(out, name, letters[1:])
            return
        out.switches.add(name)


def _switch(out: Arguments, name: str, value: str) -> None:
    known = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}.get(value.lower())
    if known is None:
        raise UsageError(f"--{name} takes no value but true or false")
    (out.switches.add if known else out.switches.discard)(name)


def _set(out: Arguments, name: str, value: str) -> None:
    if name == "snippet":
        out.snippets.append(value)
    else:
        out.values[{"out-file": "output", "input": "in-file"}.get(name, name)] = value


def _next(rest: list[str], option: str) -> str:
    if not rest:
        raise UsageError(f"{option} needs a value")
    return rest.pop(0)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status."""
    try:
        given = parse_arguments(arguments)
        if "help" in given.switches:
            _write("", USAGE)
            return 0
        if "version" in given.switches:
            _write("", f"cl.transpiler {_version()}\n")
            return 0
        if "schema" in given.values:
            _print_schema(given)
            return 0
        _run(given)
    except UsageError as error:
        _say(f"error: {error}\n\n{USAGE.splitlines()[0]}\n       --help lists the options\n")
        return 2
    except FailedError as error:
        _say(f"{error}\n")
        return 1
    return 0


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("flatcar-reprovision")
    except PackageNotFoundError:
        return "of a checkout"


def _say(text: str) -> None:
    """To standard error; what it can't show is escaped."""
    sys.stderr.write(text.encode(sys.stderr.encoding, "backslashreplace").decode(sys.stderr.encoding))


def _print_schema(given: Arguments) -> None:
    import json

    from cl.transpiler.json_schema import SchemaName, json_schema

    name = cast(SchemaName, _choice(given.values, "schema", ("butane", "clc")))
    _write(given.values.get("output", ""), json.dumps(json_schema(name), indent=2) + "\n")


def _run(given: Arguments) -> None:
    """Raises FailedError: of several files, when each has been looked at."""
    files = [*given.files, *filter(None, [given.values.get("in-file")])] or ["-"]
    if len(files) > 1 and "check" not in given.switches:
        raise UsageError("one config at a time, but for --check; more of them are --snippet FILE")
    failed = []
    for name in files:
        try:
            _transpile(given, "" if name == "-" else name)
        except FailedError as error:
            if len(files) == 1:
                raise
            failed.append(name)
            _say(f"{error}\n")
    if failed:
        raise FailedError(f"{len(failed)} of {len(files)} configs can't be used: {', '.join(failed)}")


def _transpile(given: Arguments, name: str) -> None:
    values = given.values
    dialect = _choice(values, "dialect", ("auto", "butane", "clc", "ignition"))
    spec = _choice(values, "spec", ("native", "3"))
    if values.get("variables") == "-" and not name:
        raise UsageError("the config and its variables can't both come from standard input")

    from cl.transpiler import gojson, transpile
    from cl.transpiler.detect import detect_text
    from cl.transpiler.snippets import Snippet

    filename = name or "<stdin>"
    source = _read_text(name)
    if _choice(values, "to", ("ignition", "butane")) == "butane":
        found = detect_text(source) if dialect == "auto" else dialect
        if found != "clc":
            what = "an Ignition config" if found == "ignition" else "a Butane config already"
            raise FailedError(f"{filename}: this is {what}; --to butane rewrites Container Linux Configs")
        _to_butane(source, filename, given)
        return
    result = transpile(
        source,
        dialect=cast(Literal["auto", "butane", "clc", "ignition"], dialect),
        filename=filename,
        files_dir=Path(values["files-dir"]) if values.get("files-dir") else None,
        platform=values.get("platform", ""),
        strict="strict" in given.switches,
        variables=_read_variables(values["variables"]) if "variables" in values else None,
        snippets=[Snippet(_read_text(snippet), snippet) for snippet in given.snippets],
        spec=cast(Literal["native", "3"], spec),
    )
    _tell(result.report, given)
    if result.json is None:
        raise FailedError(_reason(result.report))
    if "check" in given.switches:
        return
    text, end = result.json, "\n"
    if "pretty" in given.switches:
        text = gojson.dumps(result.config, indent=2)
    elif (detect_text(source) if dialect == "auto" else dialect) == "clc":
        end = ""  # as ct does
    _write(values.get("output", ""), text + end)


def _to_butane(source: str, filename: str, given: Arguments) -> None:
    from cl.transpiler.clc.to_butane import to_butane

    if given.snippets or "variables" in given.values:
        raise UsageError("--to butane rewrites one config as it is, without snippets and variables")
    files_dir = given.values.get("files-dir")
    rewritten = to_butane(
        source,
        filename=filename,
        files_dir=Path(files_dir) if files_dir else None,
        platform=given.values.get("platform", ""),
        strict="strict" in given.switches,
    )
    _tell(rewritten.report, given)
    if rewritten.text is None:
        raise FailedError(_reason(rewritten.report))
    if "check" not in given.switches:
        _write(given.values.get("output", ""), rewritten.text)


def _tell(report: Report, given: Arguments) -> None:
    """The findings: to standard error, or as annotations to standard output, where GitHub looks for them."""
    if _choice(given.values, "format", ("text", "github")) == "github":
        _write("", "".join(f"{line}\n" for line in report.annotations()))
    elif text := report.render(pretty="raw-errors" not in given.switches, color=_wants_color(given.color)):
        _say(text + "\n")


def _choice(values: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = values.get(name, choices[0])
    if value not in choices:
        raise UsageError(f"--{name} is one of {', '.join(choices)}, not {value!r}")
    return value


def _reason(report: Report) -> str:
    if any(entry.severity == "error" for entry in report):
        return "Error translating config: source config is invalid"
    return "Config produced warnings and --strict was specified"


def _wants_color(when: str) -> bool:
    return _COLORS.get(when, "NO_COLOR" not in os.environ and sys.stderr.isatty())


def _read_text(name: str) -> str:
    """A file's text, or standard input's for "". YAML is UTF-8, or UTF-16 with a byte order mark.

    Bytes that are no UTF-8 are kept (`surrogateescape`): whoever reads the text says where they are.
    """
    try:
        data = Path(name).read_bytes() if name else sys.stdin.buffer.read()
    except OSError as error:
        raise FailedError(f"{name or '<stdin>'}: can't be read: {error.strerror or error}") from None
    except ValueError as error:
        raise FailedError(f"{name!r} is no file name: {error}") from None
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise FailedError(f"{name or '<stdin>'}: the text is not UTF-16: {error.reason}") from None


def _read_variables(name: str) -> dict[str, str]:
    import json

    text = _read_text("" if name == "-" else name)
    try:
        variables = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FailedError(f"{name}: the variables are no JSON: {error}") from None
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise FailedError(f"{name}: variables are one JSON object whose values are texts")
    return variables


def _write(name: str, text: str) -> None:
    """To standard output, or to a file: all of it or nothing."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        if not name:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        given = Path(name)
        if given.exists() and not stat.S_ISREG(given.stat().st_mode):
            given.write_bytes(data)  # a pipe or a device can't be replaced
            return
        _replace(Path(os.path.realpath(name)), data)
    except (OSError, ValueError) as error:
        if not name:
            _discard_output()
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise FailedError(f"{name or '<stdout>'}: can't be written: {reason}") from None


def _replace(target: Path, data: bytes) -> None:
    import tempfile

    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(file.fileno(), target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask)
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _discard_output() -> None:
    """Else Python tries at its end to write what is left, and complains in its own words."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
