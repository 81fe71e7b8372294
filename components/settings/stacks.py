"""One file of settings for several stacks: `stacks` names them, and each machine says which of them it belongs to.

Each stack's own file is a link to the one that is written, so that `pulumi` finds its settings as it always does.
`make up` of the file's own name takes the stacks one after the other (toolchain/fleet.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

STACK = "{stack}"
"""What stands for the stack's name in the name of a bucket."""


def of_stack(config: Mapping[str, Any], stack: str, problems: list[str]) -> Mapping[str, Any]:
    """The config with the machines alone that belong to `stack`, and the name of its own bucket.

    What is wrong goes to `problems`, but for values of another shape, which are left to the getters.
    """
    stacks, machines, store = (config.get(key) or kind() for key, kind in _SHAPES.items())
    if not (isinstance(stacks, list) and isinstance(machines, dict) and isinstance(store, dict)):
        return config
    bucket = store.get("bucket")
    if isinstance(bucket, str):
        config = {**config, "store": {**store, "bucket": bucket.replace(STACK, stack)}}
    if not stacks:
        problems += [
            f"flatcar:machines.{name}.stack: names a stack, and flatcar:stacks has none"
            for name, settings in machines.items()
            if isinstance(settings, dict) and settings.get("stack")
        ]
        return config
    known = ", ".join(map(str, stacks))
    if stack not in stacks:
        problems.append(f"flatcar:stacks: {stack} is none of them: {known}")
    problems += [
        f"flatcar:stacks: has {name} twice" for name in sorted({one for one in stacks if stacks.count(one) > 1})
    ]
    if isinstance(bucket, str) and STACK not in bucket:
        problems.append(f"flatcar:store.bucket: a bucket is one stack's own; write {bucket}-{STACK}, say")
    own = {}
    for name, settings in machines.items():
        its = settings.get("stack") if isinstance(settings, dict) else stack
        if its == stack:
            own[name] = settings
        elif its not in stacks:
            wrong = f"{its} is none of flatcar:stacks" if its else "is missing, and flatcar:stacks has several"
            problems.append(f"flatcar:machines.{name}.stack: {wrong}: {known}")
    return {**config, "machines": own}


_SHAPES = {"stacks": list, "machines": dict, "store": dict}
