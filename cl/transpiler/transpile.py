"""The pipeline: text → nodes → a dialect's structs → Ignition config → JSON, with one report for all of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cl.transpiler import gojson
from cl.transpiler.detect import compose_source, detect, is_ignition
from cl.transpiler.dialect import Dialect, Source, UnreadableError
from cl.transpiler.report import Diagnostic, Findings, Report
from cl.transpiler.snippets import Part, Snippet, merge_parts
from cl.transpiler.variables import Variables
from cl.transpiler.yamlnode import Node, NodeLocator, YamlError

if TYPE_CHECKING:
    from cl.transpiler.butane.schema import Butane

DialectName = Literal["auto", "clc", "butane", "ignition"]
SpecName = Literal["native", "3"]


class TranspileError(Exception):
    """A config that can't be used; `report` says everything that is wrong with it, `str()` renders it."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.render())
        self.report = report


@dataclass(frozen=True, slots=True)
class Transpiled:
    """`json`: compact JSON without a trailing newline, None when the report is fatal."""

    json: str | None
    report: Report

    @property
    def config(self) -> dict[str, Any] | None:
        """What a reader of `json` gets, keys in the same order: `gojson.dumps` makes `json` of it again."""
        return None if self.json is None else json.loads(self.json)

    def unwrap(self) -> str:
        """The JSON. Raises TranspileError when there is none."""
        if self.json is None:
            raise TranspileError(self.report)
        return self.json


def transpile(
    source: str | Butane,
    *,
    dialect: DialectName = "auto",
    filename: str = "<config>",
    files_dir: Path | None = None,
    platform: str = "",
    strict: bool = False,
    variables: Mapping[str, str] | None = None,
    other_variables: Collection[str] = (),
    snippets: Sequence[str | Butane] = (),
    spec: SpecName = "native",
) -> Transpiled:
    """Turn a Butane config or a Container Linux Config into an Ignition config, or check an Ignition config.

    `dialect` "auto": JSON with an `ignition.version` is Ignition, a top-level `variant` key means Butane, else
    it is CLC. `filename` is what the report calls the source. `files_dir` is where `local` paths start; without
    it they are errors. `platform` is ct's `-platform`. `strict` makes any finding fatal. `variables` fill
    `${name}` in values; None leaves `${…}` alone. `other_variables` are names that there would be a value for, if a
    source named them: a misspelt one gets a hint. `snippets` are further configs, merged over the source in order
    (a `Snippet` knows the name of its file). `spec` "3" converts a CLC's 2.3.0 to 3.1.0, as Flatcar does while
    it boots. A source or snippet may also be a `butane.Butane`, written in Python: findings then name the field
    (`storage.files[0].mode`), and variables are not filled in.

    Never raises for bad input: everything wrong with a config is in the report. Raises ValueError for a
    `dialect` or `spec` that doesn't exist.
    """
    if dialect not in get_args(DialectName):
        raise ValueError(f"dialect is one of {', '.join(get_args(DialectName))}, not {dialect!r}")
    if spec not in get_args(SpecName):
        raise ValueError(f"spec is one of {', '.join(get_args(SpecName))}, not {spec!r}")
    values = None if variables is None else Variables(variables, other_variables)
    options = _Options(dialect, files_dir, platform, strict, spec)
    sources = [(filename, source)]
    for number, snippet in enumerate(snippets, start=1):
        sources.append((snippet.filename if isinstance(snippet, Snippet) else f"<snippet {number}>", snippet))
    translated = [
        _translate(text, name, options, values) if isinstance(text, str) else _translate_code(text, name, options)
        for name, text in sources
    ]
    entries = [entry for one in translated for entry in one.entries]
    parts = [one.part for one in translated if one.part is not None]
    config = parts[0].config if parts else None
    if len(sources) > 1 and len(parts) == len(sources):
        config, found = merge_parts(parts)
        entries += found
    if values is not None:
        findings = Findings()
        values.report_unused(findings)
        entries += findings.located(NodeLocator(None), filename)
    texts = tuple((name, text) for name, text in sources if isinstance(text, str))
    unreadable = tuple(entry for one in translated for entry in one.unreadable)
    report = Report(tuple(entries), sources=texts, strict=strict, unreadable=unreadable)
    if config is None or report.is_fatal:
        return Transpiled(None, report)
    return Transpiled(gojson.dumps(config), report)


@dataclass(frozen=True, slots=True)
class _Options:
    """What all sources of one transpilation share."""

    dialect: DialectName
    files_dir: Path | None
    platform: str
    strict: bool
    spec: SpecName


@dataclass(frozen=True, slots=True)
class _Translated:
    """What one source became, with its share of the report."""

    part: Part | None
    entries: tuple[Diagnostic, ...]
    unreadable: tuple[Diagnostic, ...] = ()


def _translate(text: str, filename: str, options: _Options, values: Variables | None) -> _Translated:
    """One source on its own; no part when its findings are fatal.

    A fleet's machines share sources: what one source became is remembered for the values of the variables that it
    names, unless it may read a local file.
    """
    if options.files_dir is not None and ("local" in text or "\\" in text):
        return _translate_anew(text, filename, options, values)
    if values is None:
        return _remembered(text, filename, options, None, ())[0]
    named = values.named_in(text)
    translated, used = _remembered(text, filename, options, named, values.names)
    if not used <= dict(named).keys():  # an escape in a quoted text hid a placeholder
        return _translate_anew(text, filename, options, values)
    values.used |= used
    return translated


@lru_cache(maxsize=32)
def _remembered(
    text: str, filename: str, options: _Options, named: tuple[tuple[str, str], ...] | None, names: tuple[str, ...]
) -> tuple[_Translated, frozenset[str]]:
    """What a source becomes, and the variables it uses. `named` has those it names, `names` all, for hints."""
    values = None if named is None else Variables(dict.fromkeys(names, "") | dict(named))
    translated = _translate_anew(text, filename, options, values)
    return translated, frozenset(values.used if values is not None else ())


def _translate_anew(text: str, filename: str, options: _Options, values: Variables | None) -> _Translated:
    findings, unreadable = Findings(), Findings()
    root: Node | None = None
    config = None
    dialect = None if options.dialect == "auto" else options.dialect
    try:
        fill = values.filler(findings) if values is not None else None
        is_json = options.dialect == "ignition" or (options.dialect == "auto" and is_ignition(text))
        root = compose_source(text, fill, is_json=is_json)
        if not findings.is_fatal:
            dialect = "ignition" if is_json else dialect or detect(root)
            given = Source(
                root=root,
                files_dir=options.files_dir,
                platform=options.platform,
                strict=options.strict,
                spec=options.spec,
            )
            config = load_dialect(dialect).translate(given, findings)
    except UnreadableError as error:
        unreadable = error.findings
    except YamlError as error:
        position = (error.line, error.column or 1) if error.line is not None else None
        (unreadable if dialect == "butane" else findings).error((), error.message, position=position)
        if values is not None:
            values.may_all_be_used()
    part = Part(filename, root, config) if config is not None and not findings.is_fatal else None
    locate = NodeLocator(root)
    return _Translated(part, findings.located(locate, filename), unreadable.located(locate, filename))


def _translate_code(config: Butane, filename: str, options: _Options) -> _Translated:
    """A config written in Python, on its own."""
    from cl.transpiler.butane.code import translate_code

    findings = Findings()
    translated = translate_code(config, options.files_dir, findings)
    part = Part(filename, None, translated) if translated is not None else None
    return _Translated(part, findings.located(NodeLocator(None), filename))


def load_dialect(name: Literal["butane", "clc", "ignition"]) -> Dialect:
    """A dialect by its name. Only what is asked for is imported: a command starts twice as fast."""
    if name == "butane":
        from cl.transpiler import butane

        return butane
    if name == "ignition":
        from cl.transpiler.ignition import source as ignition

        return ignition
    from cl.transpiler import clc

    return clc
