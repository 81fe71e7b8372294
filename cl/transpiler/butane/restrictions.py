"""What the variant flatcar refuses of Ignition (butane's config/flatcar/*/translate.go)."""

from __future__ import annotations

from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3_config import is_empty
from cl.transpiler.report import Findings
from cl.transpiler.schema import struct_of


def check_restrictions(variant: str, config: v3.Config, spec: int, findings: Findings) -> None:
    """Errors only: Flatcar 1.0.0 and 1.1.0 have no Clevis, and no version has CEX."""
    if variant != "flatcar":
        return
    for index, luks in enumerate(config.storage.luks):
        path = ("storage", "luks", index)
        if spec < v3.EXPERIMENTAL:
            if luks.clevis is not None and not is_empty(struct_of(v3.Clevis, spec), luks.clevis):
                findings.error((*path, "clevis"), "Flatcar has no clevis in this version")
        elif luks.cex.enabled is not None:
            findings.error((*path, "cex"), "Flatcar has no cex")
