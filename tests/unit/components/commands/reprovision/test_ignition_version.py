from __future__ import annotations

import pytest

from components.commands.reprovision.ignition_version import reads, spec_of


@pytest.mark.parametrize(
    ("os_version", "spec", "answer"),
    [
        ("3760.2.0", "3.3.0", True),
        ("3760.2.0", "3.4.0", True),
        ("4081.3.6", "3.5.0", False),
        ("4230.2.0", "3.5.0", None),
        ("4459.2.1", "3.5.0", True),
        ("4593.2.0", "3.6.0", False),
        ("4800.0.0", "3.6.0", None),
        ("4459.2.1", "3.7.0-experimental", None),
        ("4459.2.1", "4.0.0", None),
        ("4459.2.1", "3.10.0", None),
        ("0.1.0", "3.5.0", None),
        ("", "3.5.0", None),
    ],
)
def test_what_a_release_reads(os_version: str, spec: str, answer: bool | None) -> None:
    assert reads(os_version, spec) is answer


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        ('{"ignition": {"version": "3.5.0"}}', "3.5.0"),
        ('{"ignition": {}}', ""),
        ('{"ignition": {"version": 3}}', ""),
        ("[]", ""),
        ("no JSON", ""),
    ],
)
def test_the_spec_that_a_config_states(config: str, spec: str) -> None:
    assert spec_of(config) == spec
