"""Butane and Container Linux Configs to Ignition configs, in Python: a library and a command line.

    from cl.transpiler import transpile
    result = transpile(Path("cl/machine-web.yaml").read_text(), filename="cl/machine-web.yaml")
    print(result.json or result.report.render())

Text goes through `yamlnode` (compose with positions) and `schema` (typed decoding) into a dialect (`butane`,
`clc`), whose Ignition config `gojson` prints. Imports only PyYAML (its C parser) and the standard library, and for the
way from CLC to Butane ruamel.yaml.
"""

from __future__ import annotations

from cl.transpiler.report import Diagnostic, Report
from cl.transpiler.snippets import Snippet
from cl.transpiler.transpile import Transpiled, TranspileError, transpile

__all__ = ["Diagnostic", "Report", "Snippet", "TranspileError", "Transpiled", "transpile"]
