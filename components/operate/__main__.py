"""`python -m components.operate restart MACHINE… [--stack STACK]`: one after the other; the first failure is the end.

Exit: 0 all machines are back and proven, 1 one is not, 2 there is no such machine, or the state can't be read.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from components.audit.records import NoRecordsError, export_state, read_records
from components.commands.reprovision.request import NotProvenError, Progress
from components.operate.restart import restart

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m components.operate")
    parser.add_argument("verb", choices=("restart",))
    parser.add_argument("machines", nargs="+", metavar="MACHINE")
    parser.add_argument("--stack", default="", help="the Pulumi stack; without it the selected one")
    options = parser.parse_args(arguments)
    try:
        records, unproven = read_records(export_state(options.stack), options.machines)
    except NoRecordsError as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 2
    if unproven:
        print(f"{options.verb}: no `pulumi up` has proven {', '.join(unproven)} yet: run that instead", file=sys.stderr)
        return 2
    for record in records:
        progress = Progress(record.name)
        try:
            outputs = restart(record, progress)
        except NotProvenError as failure:
            print(f"{record.name}: {failure}\n{record.name}: {failure.advice}", file=sys.stderr)
            return 1
        progress.say(f"restarted, and proven: {outputs.config_id[:12]} on {outputs.os_version}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
