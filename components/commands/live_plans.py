"""How a machine that pulls becomes what its new object says, live: `python -m components.commands.live_plans`.

Such a machine takes an object when it likes, so the plan is made before that: from each of the last few configs that it
may run. Their manifests lie in Pulumi's state, which hands what was printed last to the next run.

The JSON document on stdin: {"shape": …, "manifest": …, "live": {"restart": …, "reload": …, "drift": …}} of the wanted
config (`components.payload.plans`); the salt of the manifest's digests is in $FLATCAR_MANIFEST_SALT. Prints `Printed`.
Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from components.commands.environment import PREVIOUS_OUTPUT
from components.commands.objects.packing import packed, unpacked
from components.commands.reprovision.live_plan import Live, LiveSettings, Reset, live_plan
from components.commands.reprovision.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

SALT_VARIABLE = "FLATCAR_MANIFEST_SALT"
MOST_KNOWN = 8
"""How many configs are known, the wanted one among them."""
MOST_BYTES = 98_304
"""Of what is printed: Linux takes no variable of 128 KiB for the next run's environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a run prints, packed.

    By their shapes: the manifests that are `known`, as JSON has them, the wanted one first; the `plans` from the others
    to it, and those `back`. `salt` tells whether they were made with the same one.
    """

    salt: str = ""
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plans: Mapping[str, Live | Reset] = field(default_factory=dict)
    back: Mapping[str, Live | Reset] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Printed:
        """Of what another version's `text` made, and of nothing, it knows nothing: machines are reset then."""
        try:
            document = json.loads(unpacked(text.strip()))
            plans = {name: {shape: _plan(plan) for shape, plan in document[name].items()} for name in ("plans", "back")}
            return cls(salt=document["salt"], known=document["known"], **plans)
        except (ValueError, TypeError, LookupError, AttributeError):
            return cls()

    def text(self) -> str:
        """No longer than `MOST_BYTES`: the oldest configs are forgotten."""
        shapes = list(self.known)
        while True:
            document: dict[str, Any] = {"salt": self.salt, "known": {shape: self.known[shape] for shape in shapes}}
            for name, plans in (("plans", self.plans), ("back", self.back)):
                document[name] = {shape: asdict(plan) for shape, plan in plans.items() if shape in shapes}
            text = packed(json.dumps(document))  # all at once: they are much alike
            if len(text) <= MOST_BYTES or not shapes:
                return text
            shapes.pop()


def printed(document: Mapping[str, Any], salt: str, before: Printed) -> Printed:
    """For the wanted config in `document`; `before` is what the last run printed."""
    shape, manifest, settings = document["shape"], json.loads(unpacked(document["manifest"])), document["live"]
    same_salt = Manifest(salt=salt).path_digest("/")
    older = before.known if before.salt == same_salt else {}
    known = {shape: manifest, **{other: one for other, one in older.items() if other != shape}}
    known = dict(list(known.items())[:MOST_KNOWN])
    manifests = {name: Manifest.from_json({**one, "salt": salt}) for name, one in known.items()}
    wanted, live = manifests.pop(shape), LiveSettings(**settings)
    return Printed(
        salt=same_salt,
        known=known,
        plans={name: live_plan(other, wanted, live) for name, other in manifests.items()},
        back={name: live_plan(wanted, other, live) for name, other in manifests.items()},
    )


def _plan(document: Mapping[str, Any]) -> Live | Reset:
    if "reason" in document:
        return Reset(**document)
    return Live(**{name: tuple(words) for name, words in document.items()})


def main() -> int:
    """Run the command line. Exit codes: 0 printed, 2 not a request."""
    try:
        document = json.load(sys.stdin)
        told = printed(document, os.environ.get(SALT_VARIABLE, ""), Printed.of(os.environ.get(PREVIOUS_OUTPUT, "")))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        print(f"live_plans: stdin is not a request: {type(error).__name__}", file=sys.stderr)
        return 2
    print(told.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
