"""Placeholder."""

from __future__ import annotations

from cl.transpiler.dialect import Source
from cl.transpiler.gojson import Json
from cl.transpiler.report import Findings


def translate(source: Source, findings: Findings) -> dict[str, Json] | None:
    findings.error((), "this dialect is not supported yet")
    return None
