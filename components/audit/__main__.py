"""`python -m components.audit [MACHINE…]`: look at the machines of a stack, side by side, and tell their drift.

Exit: 0 all machines are as declared, 1 some are not or could not be looked at, 2 there is nothing to compare with,
or the result can't be written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.audit import noted
from components.audit.drift import ROLLED_BACK, compare
from components.audit.records import NoRecordsError, Record, export_state, read_records
from components.commands.reprovision.drift import Finding
from components.commands.reprovision.host_key import pin
from components.commands.reprovision.request import NotProvenError
from components.commands.reprovision.seen import asked, history_line, read_seen
from components.commands.ssh_session import answers, run_script
from components.commands.untrusted import printable, shortened
from components.settings.path_expressions import expression_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GREETING_SECONDS = 20
SESSION_SECONDS = 300
MOST_BYTES = 4_194_304
"""What a machine may tell of itself; sixteen of them are looked at side by side."""
SIDE_BY_SIDE = 16
ADVICE = "To clear drift, raise the machine's generation and run `pulumi up`: the same config runs again."
BACK_ADVICE = "A machine that rolled back runs its last good config: mend the one that failed and run `pulumi up`."
LAST = 3
"""How many lines of a machine's history the table shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One machine's result. `trouble` says why it could not be looked at, "" when it was."""

    machine: str
    trouble: str = ""
    config_id: str = ""
    os_version: str = ""
    up_seconds: int = 0
    compared: int = 0
    findings: tuple[Finding, ...] = ()
    history: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the machine was seen to be as manifest."""
        return not self.trouble and not any(finding.is_drift for finding in self.findings)

    @property
    def verdict(self) -> str:
        """A few words."""
        if self.trouble:
            return f"not looked at: {self.trouble}"
        drift = sum(finding.is_drift for finding in self.findings)
        return f"{drift} drift{'s' if drift > 1 else ''}" if drift else "clean"


def advice(reports: Sequence[Report]) -> list[str]:
    """What to do about drift. Another run, which wipes, is none for a machine that rolled back from the last one."""
    drifted = [report for report in reports if not report.trouble and not report.is_clean]
    back = [report for report in drifted if any(ROLLED_BACK in finding.problem for finding in report.findings)]
    return [ADVICE] * (len(back) < len(drifted)) + [BACK_ADVICE] * bool(back)


def look(record: Record, ignored: Sequence[str] = ()) -> Report:
    """Audit one machine in one read-only session. Never raises for what a machine does or says."""
    target = record.request.target
    try:
        manifest = record.request.read_manifest()
        Path(target.known_hosts).parent.mkdir(parents=True, exist_ok=True)
        pin(record.request, record.proven_host_keys)
        if not answers(target, timeout=GREETING_SECONDS):
            return Report(machine=record.name, trouble=f"no SSH server answers at {target.host} port {target.port}")
        finished = run_script(
            target,
            ("staging.sh", "audit.sh"),
            asked(manifest),
            timeout=SESSION_SECONDS,
            most=MOST_BYTES,
        )
        seen = read_seen(finished)
        if seen is None:
            said = finished.stderr.strip().splitlines()
            return Report(
                machine=record.name,
                trouble=shortened(said[-1], 400) if said else f"the session ended early (exit code {finished.code})",
            )
        findings = compare(record, manifest, seen, ignored)
    except NotProvenError as error:
        return Report(machine=record.name, trouble=str(error))
    except (ValueError, KeyError, OSError) as error:
        return Report(
            machine=record.name,
            trouble=f"what it says can't be read ({type(error).__name__}: {shortened(printable(str(error)), 200)})",
        )
    return Report(
        machine=record.name,
        config_id=seen.stamp,
        os_version=seen.os_version,
        up_seconds=seen.up_seconds,
        compared=manifest.count + len(seen.etc) + len(seen.unit_files) + len(seen.accounts),
        findings=tuple(findings),
        history=seen.history,
    )


def look_at_all(records: Sequence[Record], ignored: Sequence[str] = ()) -> list[Report]:
    """Audit machines side by side, with a line on stderr as each is done; reports in the order of `records`."""
    reports: dict[str, Report] = {}
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        jobs = [pool.submit(look, record, ignored) for record in records]
        for done in as_completed(jobs):
            report = done.result()
            reports[report.machine] = report
            print(f"[{len(reports)}/{len(records)}] {report.machine}: {report.verdict}", file=sys.stderr, flush=True)
    return [reports[record.name] for record in records]


def table(reports: Iterable[Report]) -> str:
    """What a person reads: a head line per machine, and a line per finding under it."""
    lines = []
    for report in reports:
        facts = f"config id {report.config_id[:12] or '(none)'}, {report.os_version}, up {_span(report.up_seconds)}"
        tail = "" if report.trouble else f"  ({facts}, {report.compared} things compared)"
        lines.append(f"{report.machine}: {report.verdict}{tail}")
        widths = [
            max((len(text) for text in column), default=0)
            for column in zip(*map(_columns, report.findings), strict=True)
        ]
        for finding in sorted(report.findings, key=lambda finding: not finding.is_drift):
            mark = "!" if finding.is_drift else "-"
            kind, subject = _columns(finding)
            lines.append(f"  {mark} {kind:<{widths[0]}}  {subject:<{min(widths[1], 60)}}  {finding.problem}")
        lines += [f"    {history_line(line)}" for line in report.history[-LAST:]]
    return "\n".join(lines)


def _columns(finding: Finding) -> tuple[str, str]:
    return finding.kind, finding.subject


def _span(seconds: int) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m components.audit", description="What has drifted; changes nothing."
    )
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help="these alone, by name")
    parser.add_argument("--stack", default="", help="the Pulumi stack; without it the selected one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument(
        "--export", default="", metavar="FILE", help="a `pulumi stack export --show-secrets`, - for stdin"
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="EXPRESSION",
        help="whole paths under /etc that may be undeclared",
    )
    options = parser.parse_args(arguments)
    for expression in options.ignore:
        if (problem := expression_problem(expression)) is not None:
            parser.error(f"--ignore {expression!r} {problem}")
    try:
        if options.export:
            text = sys.stdin.read() if options.export == "-" else Path(options.export).read_text(encoding="utf-8")
        else:
            text = export_state(options.stack)
        records, unproven = read_records(text, options.machines)
    except (NoRecordsError, OSError, UnicodeDecodeError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    reports = [
        Report(machine=name, trouble="no `pulumi up` has proven it yet, so there is nothing to compare with")
        for name in unproven
    ] + look_at_all(records, options.ignore)
    if not options.export:
        _note(records, reports)
    if options.json:
        text = json.dumps({"machines": [{"clean": report.is_clean, **asdict(report)} for report in reports]}, indent=2)
    else:
        text = "\n\n".join([table(reports), *advice(reports)])
    if not _print(text):
        return 2
    return 0 if all(report.is_clean for report in reports) else 1


def _note(records: Sequence[Record], reports: Sequence[Report]) -> None:
    """For `status`. A machine that was never proven has nothing to note."""
    by_name = {report.machine: report for report in reports}
    stacks: dict[str, dict[str, noted.Noted]] = {}
    for record in records:
        if not record.stack:
            continue
        report = by_name[record.name]
        stacks.setdefault(record.stack, {})[record.name] = noted.now(
            drift=sum(finding.is_drift for finding in report.findings),
            trouble=report.trouble,
            config_id=report.config_id,
            os_version=report.os_version,
            history=report.history,
        )
    for stack, found in stacks.items():
        try:
            noted.note(stack, found)
        except OSError as error:
            print(f"audit: what was found can't be noted for `make status`: {error}", file=sys.stderr)


def _print(text: str) -> bool:
    """To standard output; false when it can't be written. That nobody reads on (`| head`) is no failure."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        if not isinstance(error, BrokenPipeError):
            print(f"audit: the result can't be written: {error.strerror}", file=sys.stderr)
            return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
