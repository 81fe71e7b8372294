"""What the deployer itself remembers of a machine: the outputs of its last run, which lie in Pulumi's state.

Pulumi hands them to the next run in the environment (`PULUMI_COMMAND_STDOUT`, pulumi-command's `update`). So a run
knows, on any computer, for what the machine was last proven, which host keys it had, and which objects have run there.
What a machine says of itself counts only where it agrees with this. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from components.commands.environment import PREVIOUS_OUTPUT
from components.commands.reprovision.request import Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.commands.reprovision.request import Request

MOST_OBJECTS = 4
"""How many proven objects are remembered: the machine may name an older one as its last good."""
LOOKED_AT = frozenset({"health", "power_on"})
"""What a look at the running machine proves anew, of what a run is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One machine after a run.

    `wanted` holds what the run was asked for, by the names in `_asked`. `host_keys` are those pinned for that machine,
    as `TYPE BASE64`. `objects` are the SHA-512 (hex) of the objects that were proven to run, the last
    one first.
    """

    outputs: Outputs
    wanted: Mapping[str, str] = field(default_factory=dict)
    host_keys: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()

    @classmethod
    def previous(cls, environment: Mapping[str, str]) -> Record | None:
        """The record of the run before this one, if there is one; that of an older version has outputs alone."""
        lines = environment.get(PREVIOUS_OUTPUT, "").strip().splitlines()
        try:
            document = dict(json.loads(lines[-1])) if lines else {}
            record = document.pop("record", {})
            document["failed_units"] = tuple(document["failed_units"])
            document["lost"] = tuple(document.get("lost", ()))
            return cls(
                outputs=Outputs(**document),
                wanted=dict(record.get("wanted", {})),
                host_keys=tuple(record.get("host_keys", ())),
                objects=tuple(record.get("objects", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @classmethod
    def of(cls, request: Request, outputs: Outputs, before: Record | None) -> Record:
        """The record after a run that ended well; `before` is the one that it began with."""
        objects = before.objects if before else ()
        if outputs.config_id == request.config_id:
            objects = tuple(dict.fromkeys([request.object_sha512, *objects]))[:MOST_OBJECTS]
        return cls(
            outputs=outputs,
            wanted=_asked(request),
            host_keys=tuple(sorted(request.target.pinned())),
            objects=objects,
        )

    def answers(self, request: Request) -> bool:
        """Whether nothing that a machine has to be proven for has changed since."""
        return not self.changed(request)

    def changed(self, request: Request) -> frozenset[str]:
        """What a machine has to be proven for and has changed since, by the names in `_asked`."""
        return frozenset(name for name, _ in self.wanted.items() ^ _asked(request).items())

    def is_of(self, request: Request) -> bool:
        """Whether it is about the same machine: one that was made anew has another alias."""
        return self.wanted.get("host_key_alias") == request.target.host_key_alias

    def text(self) -> str:
        """The document for stdout."""
        record = {"wanted": self.wanted, "host_keys": self.host_keys, "objects": self.objects}
        return json.dumps({**asdict(self.outputs), "record": record})


def _asked(request: Request) -> dict[str, str]:
    return {
        "config_id": request.config_id,
        "lifecycle": request.lifecycle,
        "version": request.version,
        "host_key_alias": request.target.host_key_alias,
        # left out where they say nothing, as in records of older versions
        **({"health": _checks(request)} if request.health or request.allow_degraded else {}),
        **({"power_on": request.power_on} if request.power_on else {}),
    }


def _checks(request: Request) -> str:
    """A hash: what the checks' commands say is told nowhere else."""
    checks = [[asdict(check) for check in request.health], request.allow_degraded]
    return hashlib.sha256(json.dumps(checks, sort_keys=True).encode()).hexdigest()
