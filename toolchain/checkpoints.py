"""Whether `make up` may leave out the engine's checkpoints: writing the whole state before and after each step.

In a bucket or a folder the state is one file, so that a change of all machines costs time with the square of their
number (pulumi/pulumi#22075). Without checkpoints it is written once, at the end. That is safe for a run which makes,
replaces and deletes nothing, and updates nothing but what comes out the same when it is updated again: objects, and
Commands, which find what they have done (tests/engine/killed_engine.py). A killed run is forgotten, and done again.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from toolchain.places import ROOT, environment
from toolchain.steps import say

SKIPPED = {"PULUMI_SKIP_CHECKPOINTS": "true"}
LEAST = 100
"""Resources of a stack with fewer cost less in checkpoints than in the preview that has to be made first."""
_UPDATED_AGAIN = frozenset(
    {
        "command:local:Command",
        "aws:s3/bucketObjectv2:BucketObjectv2",
        "digitalocean:index/spacesBucketObject:SpacesBucketObject",
        "pulumi:pulumi:Stack",
    }
)
_OWN = "flatcar:index:"
_FOR_UP_ALONE = frozenset({"--yes", "-y", "--skip-preview", "-f", "--continue-on-error"})


def variables(stack: str, arguments: Sequence[str]) -> dict[str, str]:
    """What to give `pulumi up` with these arguments, beside its environment: `SKIPPED`, or nothing.

    Says so when checkpoints are skipped. Looks at a preview, where that can pay.
    """
    env = environment(stack)
    if "PULUMI_SKIP_CHECKPOINTS" in env or _journals(env) or _resources(stack, env) < LEAST:
        return {}
    words = [word for word in arguments if word not in _FOR_UP_ALONE]
    steps = (_asked(["preview", "--json", "--stack", stack, *words], env) or {}).get("steps")
    if not isinstance(steps, list) or not may_skip(steps):
        return {}
    updates = sum(step["op"] == "update" for step in steps)
    say(
        f"this run makes, replaces and deletes nothing: its state is written once, at the end, not after each of its "
        f"{updates} updates. If it is ended before, run it again: docs/speed.md"
    )
    return dict(SKIPPED)


def may_skip(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run of these steps, as `pulumi preview --json` has them, comes out the same when it is done twice."""
    return any(step["op"] == "update" for step in steps) and all(map(_is_same_again, steps))


def _is_same_again(step: Mapping[str, Any]) -> bool:
    kind = str(step["urn"]).split("::")[2].rpartition("$")[2]
    return step["op"] == "same" or (step["op"] == "update" and (kind in _UPDATED_AGAIN or kind.startswith(_OWN)))


def _journals(env: Mapping[str, str]) -> bool:
    """Whether the backend keeps a journal, which costs no more for a large state: Pulumi Cloud. Unknown counts so."""
    url = str((_asked(["whoami", "--json"], env) or {}).get("url") or "https:")
    return url.startswith(("http:", "https:"))


def _resources(stack: str, env: Mapping[str, str]) -> int:
    listed = _asked(["stack", "ls", "--json"], env)
    name = stack.rpartition("/")[2]
    found = [one for one in listed or [] if str(one.get("name", "")).rpartition("/")[2] == name]
    return max((int(one.get("resourceCount") or 0) for one in found), default=0)


def _asked(words: Sequence[str], env: Mapping[str, str]) -> Any:
    """What `pulumi` answers as JSON; None where it can't."""
    argv = ["pulumi", *words, "--non-interactive", "--color=never"]
    done = subprocess.run(
        argv, cwd=ROOT, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None
