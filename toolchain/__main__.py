"""`python -m toolchain VERB`: what the Makefile's targets do. `make help` lists them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolchain import places, pulumi_cli
from toolchain.clean import clean
from toolchain.steps import SetupError, alone, say

if TYPE_CHECKING:
    from toolchain.shared import Shared

EPILOG = "What follows `--` goes to pulumi (up, preview, destroy), the operator's verbs, or pytest (test)."
OPERATE = ("audit", "status", "ssh", "exec", "console", "logs", "history", "restart")
"""The operator's verbs that need nothing but a stack's state."""


def main(arguments: Sequence[str]) -> int:
    """Run one verb; the exit code: 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m toolchain", epilog=EPILOG)
    verbs = ("up", "preview", "destroy", *OPERATE, *places.EDIT_VERBS, "test", "env", "clean")
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("--stack", default=places.LOCAL_STACK, help="the Pulumi stack")
    agreed = os.environ.get("YES") == "1"
    parser.add_argument("--yes", action="store_true", default=agreed, help="don't ask before changing (YES=1)")
    parser.add_argument("--machines", default="", help="up, preview: these alone, in one word")
    parser.add_argument("--group", default="", help="up, preview: the machines of a group alone")
    parser.add_argument("--tiers", default="", help="test: which tiers, in one word")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:cut])
    try:
        return _do(options, arguments[cut + 1 :])
    except SetupError as error:
        say(f"error: {error}")
        if error.hint:
            say(f"  hint: {error.hint}")
    except KeyboardInterrupt:
        say("interrupted")
    return 1


def _do(options: argparse.Namespace, rest: Sequence[str]) -> int:
    verb, stack = options.verb, options.stack
    if verb == "env":
        print(places.shell(stack))
        return 0
    if verb == "clean":
        clean()
        return 0
    # What stands in the virtual environment is imported only now: `clean` works without it.
    if verb == "test":
        from toolchain import tiers as tests

        return 0 if tests.run(options.tiers.split() or tests.NAMES, rest) else 1
    from toolchain import stack as stacks
    from toolchain.shared import shared_by, states, stay

    part = [*options.machines.split(), *["--group", options.group] * bool(options.group)]
    if part and verb == "destroy":
        raise SetupError(
            "`make destroy` takes the whole stack down, not some of its machines",
            "leave MACHINES and GROUP out; what is taken out of the stack's file goes with the next `make up`",
        )
    of = shared_by(stacks.settings_file(stack, rest))
    is_one = of is None or stack.rpartition("/")[2] in of.stacks
    if of is not None and not is_one and verb != "status":
        return _several(options, of, rest, part)
    agreed = stacks.agreement(verb, stack, yes=options.yes, arguments=rest)
    with alone():
        pulumi_cli.ensure()
    if is_one and (verb != "audit" or "--export" not in rest):
        stacks.select(verb, stack, rest)
    if verb in OPERATE:
        stacks.operate(verb, stack, rest)
    if of is not None and verb != "destroy":
        stay(of, states(of.beside(stack)))
    with alone():
        stacks.set_up(stack, rest, image=verb != "destroy")
    stacks.pulumi(verb, stack, [*rest, *agreed], part)
    return 0


def _several(options: argparse.Namespace, of: Shared, rest: Sequence[str], part: Sequence[str]) -> int:
    """The same for all stacks that share the file of the one that was named."""
    from toolchain import fleet, shared
    from toolchain import stack as stacks

    verb, names = options.verb, of.beside(options.stack)
    if part or verb not in ("up", "preview", "destroy"):
        what = "MACHINES and GROUP are" if part else f"`make {verb}` is"
        raise SetupError(
            f"{what} for one stack, and {of.file.name} is the file of several", f"name one: {', '.join(names)}"
        )
    agreed = stacks.agreement(verb, options.stack, yes=options.yes, arguments=rest) or stacks.AGREED & set(rest)
    with alone():
        pulumi_cli.ensure()
    shared.link(of)
    if verb != "destroy":
        for name in names:
            stacks.select(verb, name)
    there = shared.states(names)
    if verb != "destroy":
        shared.stay(of, there)
    elif not there:
        raise SetupError(f"none of the stacks is there: {', '.join(names)}")
    with alone():
        for name in there:
            stacks.set_up(name, image=verb != "destroy")
    stacks.begin()
    environments = {name: stacks.run_environment(name) for name in there}
    return fleet.run(verb, options.stack, environments, rest, agreed=bool(agreed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
