"""Whether `make up` may leave out the engine's checkpoints: writing the whole state before and after each step.

In a bucket or a folder the state is one file, so that a change of all machines costs time with the square of their
number (pulumi/pulumi#22075). Without checkpoints it is written once, at the end. That is safe for a run which makes,
replaces and deletes nothing, and updates nothing but what comes out the same when it is updated again: objects, and
Commands, which find what they have done (tests/engine/killed_engine.py). A killed run is forgotten, and done again.

What is decided by a preview has to hold for the run after it, whatever is edited meanwhile, here or in the state. So
the preview saves its plan, and the engine keeps the run to it: a step that it doesn't have ends the run before it is
taken (pulumi/pulumi, pkg/resource/deploy/plan.go).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolchain.places import MACHINES, ROOT, environment
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
_OF_A_PREVIEW = "::pulumi:providers:pulumi::"
_WRITTEN = '"written":'
"""Of an object that QEMU serves: the time of its write, which no plan foresees."""
FOR_UP_ALONE = frozenset({"--yes", "-y", "--skip-preview", "-f", "--continue-on-error"})


def skipped(stack: str, arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What to give `pulumi up` with these arguments, beside its environment and them: `SKIPPED` and a plan, or nothing.

    The plan is of the run alone, so `pulumi up` must not preview again. Says so when checkpoints are skipped. Looks at
    a preview, where that can pay.
    """
    plan = None if "--preview-only" in arguments else plan_of(stack)
    if plan is None:
        return {}, []
    words = [word for word in arguments if word not in FOR_UP_ALONE]
    asked = _asked(["preview", "--json", f"--save-plan={plan}", "--stack", stack, *words], environment(stack))
    steps = (asked or {}).get("steps")
    return (dict(SKIPPED), [f"--plan={plan}"]) if isinstance(steps, list) and decided(steps, plan) else ({}, [])


def plan_of(stack: str) -> Path | None:
    """Where a preview of the stack is to save its plan; None where skipping checkpoints can't pay, or was decided."""
    env = environment(stack)
    if "PULUMI_SKIP_CHECKPOINTS" in env or _journals(env) or _resources(stack, env) < LEAST:
        return None
    plan = MACHINES / stack.rpartition("/")[2] / "plan.json"
    plan.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    plan.unlink(missing_ok=True)
    return plan


def decided(steps: Sequence[Mapping[str, Any]], plan: Path) -> bool:
    """Whether a run skips checkpoints that is kept to this plan, of a preview with these steps. Says so if it does."""
    if not may_skip(steps) or not _as_a_run_has_it(plan):
        return False
    updates = sum(step["op"] == "update" for step in steps)
    say(
        f"this run makes, replaces and deletes nothing: its state is written once, at the end, not after each of its "
        f"{updates} updates. If it is ended before, or ends as its plan doesn't allow what was edited since, run it "
        "again: docs/state.md"
    )
    return True


def _as_a_run_has_it(plan: Path) -> bool:
    """Take out of a saved plan what a preview alone has: the provider by which it asks for the stack's outputs."""
    try:
        document = json.loads(plan.read_text(encoding="utf-8"))
        steps = document["resourcePlans"]
        document["resourcePlans"] = {urn: its for urn, its in steps.items() if _OF_A_PREVIEW not in urn}
        plan.write_text(json.dumps(document), encoding="utf-8")
    except (OSError, ValueError, KeyError):
        return False
    return True


def may_skip(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run of these steps, as `pulumi preview --json` has them, comes out the same when it is done twice."""
    return any(step["op"] == "update" for step in steps) and all(map(_is_same_again, steps))


def _is_same_again(step: Mapping[str, Any]) -> bool:
    if _WRITTEN in str((step.get("newState") or {}).get("inputs", {}).get("stdin")):
        return bool(step["op"] == "same")
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
