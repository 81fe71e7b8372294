"""States of Pulumi with machines, as `pulumi stack export --show-secrets` prints them: for what shows a stack."""

from __future__ import annotations

import json
from typing import Any

MACHINE, COMMAND = "flatcar:index:Machine", "command:local:Command"


def machine(name: str, *, wanted: str = "a" * 12, lifecycle: str = "reset", **inputs: Any) -> dict[str, Any]:
    """A machine's component, with what its config declares among the `inputs`."""
    return {
        "urn": f"urn:pulumi:dev::flatcar::{MACHINE}::{name}",
        "type": MACHINE,
        "inputs": {"config": "cl/web.yaml", "configId": wanted, "lifecycle": lifecycle, **inputs},
    }


def proof(name: str, *, config_id: str = "a" * 128, **outputs: Any) -> dict[str, Any]:
    """The Command of a machine, after a run that went well."""
    said = {"config_id": config_id, "os_version": "4593.2.1", "ended_at": 1_700_000_000.0, "downtime_seconds": 23.4}
    return {
        "urn": f"urn:pulumi:dev::flatcar::{MACHINE}${COMMAND}::{name}-reprovision",
        "type": COMMAND,
        "inputs": {"stdin": {"4dabf18193072939515e22adb298388d": "x", "plaintext": '"hunter2"'}},
        "outputs": {"stdout": json.dumps({**said, **outputs})},
    }


def exported(*resources: dict[str, Any]) -> str:
    """The whole of it."""
    return json.dumps({"deployment": {"resources": list(resources)}})


def fleet(count: int, place: dict[str, str] | None = None) -> str:
    """A stack of so many machines: one in fifty has failed or waits, and each config has twenty files.

    With a `place`, as a request has it, they pull, report to the bucket there, and nobody has waited for them.
    """
    resources = []
    for number in range(count):
        name, wanted = f"machine-{number:05}", f"{number % 7:012x}"
        files = {f"/etc/file-{index}": {"contents": f"{number % 7 if index == 3 else index}"} for index in range(20)}
        is_behind = number % 50 == 7
        if place is not None:
            left_alone = proof(name, config_id="")
            left_alone["inputs"] = {"stdin": json.dumps({"machine": name, "place": place})}
            resources += [machine(name, wanted=wanted, files=files, pull={"report": "store"}), left_alone]
            continue
        resources += [
            machine(name, wanted=wanted, files=files),
            proof(name, config_id="f" * 128 if is_behind else wanted),
        ]
    return exported(*resources)
