"""`python -m components.audit.wipe [MACHINE…]`: what a re-provisioning would delete and keep, before it happens.

Read-only. The paths to keep are those of the last `pulumi up`, or those given with `--keep` (presets or expressions, as
in the stack config). The same lines come again at the next `pulumi up`, right before staging; with `--all`, every file
that would be deleted has one.
Exit: 0 all machines answered, 1 some did not, 2 there is nothing to look at.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from components.audit.records import NoRecordsError, Record, export_state, read_records
from components.commands.reprovision.host_key import pin
from components.commands.reprovision.request import NotProvenError
from components.commands.ssh_session import run_script
from components.settings.keep import keep_problems, kept_paths

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 33_554_432  # each file by its name
SESSION_SECONDS = 180  # the machine lists its files for 120 s at most


def show(record: Record, keep: Sequence[str], *, every: bool) -> bool:
    """Print one machine's preview, of every file or in short; whether it answered. `keep` empty: the record's paths."""
    request = record.request
    print(f"{record.name}, lifecycle {request.lifecycle}:", flush=True)
    Path(request.target.known_hosts).parent.mkdir(parents=True, exist_ok=True)
    try:
        pin(request, record.proven_host_keys)
    except NotProvenError as error:
        print(f"  not looked at: {error}\n  {error.advice}")
        return False
    finished = run_script(
        request.target,
        ("staging.sh", "keep.sh", "preview.sh", "wipe.sh"),
        {
            "LIFECYCLE": request.staged_lifecycle,
            "KEEP": kept_paths(keep) if keep else request.keep,
            "DECLARED": request.declared,
            "ALL": "yes" if every else "",
        },
        timeout=SESSION_SECONDS,
        most_errors=MOST_BYTES,
    )
    for line in finished.stderr.splitlines():
        print(f"  {line}")
    if finished.code != 0:
        print(f"  not looked at (exit code {finished.code}): see whether the machine answers to ssh")
    return finished.code == 0


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m components.audit.wipe", description="What a re-run would delete.")
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help="these alone, by name")
    parser.add_argument("--stack", default="", help="the Pulumi stack; without it the selected one")
    parser.add_argument("--export", default="", metavar="FILE", help="a `pulumi stack export --show-secrets`")
    parser.add_argument("--keep", action="append", default=[], metavar="ENTRY", help="keep this instead (repeatable)")
    parser.add_argument("--all", action="store_true", dest="every", help="each file, not the largest in short")
    options = parser.parse_args(arguments)
    for problem in keep_problems(options.keep):
        parser.error(f"--keep {problem}")
    try:
        text = Path(options.export).read_text(encoding="utf-8") if options.export else export_state(options.stack)
        records, unproven = read_records(text, options.machines)
    except (NoRecordsError, OSError, UnicodeDecodeError) as error:
        print(f"wipe: {error}", file=sys.stderr)
        return 2
    for name in unproven:
        print(f"{name}: not looked at, it was never proven; run 'pulumi up' first")
    answered = [show(record, options.keep, every=options.every) for record in records]
    return 0 if all(answered) and not unproven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
