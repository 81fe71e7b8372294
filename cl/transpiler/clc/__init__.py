"""Container Linux Configs: `ct` v0.9.4's language, to Ignition 2.3.0.

Two stages, as in `ct`: reading and checking the config (`schema`, `validate`), then converting it (`convert`) and
checking the Ignition config that it became (`ignition.v2_rules`). A fatal first stage hides the second.
"""

from __future__ import annotations

from cl.transpiler.clc import schema
from cl.transpiler.clc.convert import VERSION, convert
from cl.transpiler.clc.source_map import Generated, source_path
from cl.transpiler.clc.validate import validate
from cl.transpiler.dialect import Source
from cl.transpiler.gojson import Json
from cl.transpiler.ignition import v2, v2_rules
from cl.transpiler.report import Findings
from cl.transpiler.schema import Decoder, TypeProblem
from cl.transpiler.yamlnode import Node

__all__ = ["VERSION", "map_findings", "read", "translate"]


def translate(source: Source, findings: Findings) -> dict[str, Json] | None:
    """See `dialect.Dialect`."""
    read_config = read(source, findings)
    if read_config is None:
        return None
    config, generated = read_config
    if source.spec == "native":
        return v2.to_json(config)
    from cl.transpiler.ignition import convert as to_v3
    from cl.transpiler.ignition import v3_config

    refused = Findings()
    converted = to_v3.convert(config, refused)
    map_findings(refused, source.root, generated, findings)
    return v3_config.encode(converted, to_v3.SPEC) if converted is not None else None


def read(source: Source, findings: Findings) -> tuple[v2.Config, Generated] | None:
    """The Ignition 2.3.0 config that a Container Linux Config makes, or None when `findings` are fatal."""
    config = parse(source, findings)
    if config is None or (source.strict and len(findings)):
        return None
    converted, generated = convert(config, source.files_dir, source.platform, findings)
    if not findings.is_fatal:
        checked = Findings()
        v2_rules.validate(converted, checked)
        map_findings(checked, source.root, generated, findings)
    return None if findings.is_fatal else (converted, generated)


def parse(source: Source, findings: Findings) -> schema.Config | None:
    """The first stage: the config as it is written, or None when `findings` are fatal."""
    decoder = Decoder(late_merge=False)
    config = decoder.decode(schema.Config, source.root)
    if decoder.problems:
        _report(decoder.problems, findings)
        return None
    if source.root is None:
        findings.warning((), "the config is empty")
    validate(config, source.root, findings)
    return None if findings.is_fatal else config


def map_findings(checked: Findings, root: Node | None, generated: Generated, findings: Findings) -> None:
    """Findings about the Ignition config, with paths and positions of the source."""
    for entry, path in checked.entries():
        found, position, section = source_path(path, root, generated)
        hint = f"this was made from {section or 'the platform'}" if section is not None else entry.hint
        findings.add(entry.severity, found, entry.message, hint=hint, position=position)


def _report(problems: list[TypeProblem], findings: Findings) -> None:
    """One entry, as `ct` has it, at the first position; it names the others."""
    distinct = list(dict.fromkeys(problems))
    first, *others = distinct
    more = "".join(f"; line {problem.line}: {problem.message}" for problem in others)
    findings.error((), first.message + more, position=(first.line, first.column))
