"""One Butane config through all its stages. A stage that ends in an error is the last one, as in butane."""

from __future__ import annotations

from pathlib import Path

from cl.transpiler.butane.decode import Version, decode
from cl.transpiler.butane.restrictions import check_restrictions
from cl.transpiler.butane.schema import Butane
from cl.transpiler.butane.source_checks import check_source
from cl.transpiler.butane.translate import to_ignition
from cl.transpiler.dialect import Source
from cl.transpiler.gojson import Json
from cl.transpiler.ignition.v3_checks import validate
from cl.transpiler.ignition.v3_config import encode, find_duplicates
from cl.transpiler.report import Findings


def translate(source: Source, findings: Findings) -> dict[str, Json] | None:
    """The Ignition config of a composed Butane config, or None when `findings` are fatal. Raises UnreadableError."""
    config, version = decode(source.root, findings)
    return translate_config(config, version, source.files_dir, findings)


def translate_config(
    config: Butane, version: Version, files_dir: Path | None, findings: Findings
) -> dict[str, Json] | None:
    """The Ignition config of a Butane config given as structs, or None when there is an error."""
    stage = Findings()
    check_source(version.struct, config, (), stage)
    findings.extend(stage)
    if stage.is_fatal:
        return None
    stage = Findings()
    ignition, origins = to_ignition(config, version, files_dir, stage)
    findings.extend(stage)
    if stage.is_fatal:
        return None
    stage = Findings()
    check_restrictions(config.variant, ignition, version.spec, stage)
    if len(stage) == 0:
        find_duplicates(ignition, version.spec, stage)
        validate(ignition, version.spec, stage)
    findings.extend(origins.located(stage))
    return None if stage.is_fatal else encode(ignition, version.spec)
