"""`python -m components.operate VERB MACHINE… [--stack STACK] [-- WORDS]`: what an operator does to machines.

Exit: 0 done, 1 not on all of them, 2 there is no such machine, or the state can't be read. `ssh` and `logs` end with
the exit code of the program that they run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.audit.__main__ import main as audit
from components.audit.noted import noted
from components.audit.records import NoRecordsError, Record, export_state, read_records
from components.commands.environment import for_child, machines_folder
from components.commands.files import write_atomically
from components.commands.reprovision.request import NotProvenError, Progress
from components.config.places import project_name, stack_file
from components.operate.console import follow_console
from components.operate.page import page
from components.operate.part import PartError, part_of, targets
from components.operate.reports import read_reports
from components.operate.restart import restart
from components.operate.session import follow_journal, read_history, run_on_all, target_of
from components.operate.stack_file import (
    GENERATION,
    PINNED,
    EditError,
    declared,
    file_settings,
    machine_texts,
    members,
    pinned,
    pins_of,
    raised,
    stacks_of,
    write,
)
from components.operate.status import Status, document, metrics, statuses, table
from components.settings.part import matching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.commands.objects.bucket import BucketWriter
    from components.commands.ssh_session import SshTarget
    from components.operate.reports import Reported
    from components.operate.stack_file import MachinesText

EPILOG = """What follows `--` is the command (exec), or goes to ssh, journalctl, the audit or `pulumi` (ssh, logs,
audit, up, preview, reprovision, rollback). MACHINE may be a pattern, such as 'worker-*'."""


NO_STACK = "no stack named"
"""What Pulumi says of a stack that isn't there."""
NAMED = ("up", "preview", "exec", "restart", "reprovision", "rollback")
"""Verbs that do nothing to machines that were not named."""


class UsageError(Exception):
    """What was asked for can't be done, and why."""


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:cut], argparse.Namespace(words=arguments[cut + 1 :]))
    try:
        if options.group:
            options.machines += members(machine_texts(Path(), _stack(options.stack)), options.group)
        elif options.verb in NAMED and not options.machines:
            options.parser.error("the following arguments are required: MACHINE, or --group")
        code: int = options.run(options)
    except (NoRecordsError, EditError, PartError, UsageError) as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.operate", epilog=EPILOG)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, run, machines, what in (
        ("up", _up, "*", "`pulumi up` for these alone, with all that belongs to them"),
        ("preview", _up, "*", "`pulumi preview` for these alone"),
        ("audit", _audit, "*", "what has drifted"),
        ("status", _status, "*", "how the machines are, as far as is known without asking them"),
        ("ssh", _ssh, None, "a session in this terminal, with the pinned host key"),
        ("exec", _exec, "*", "run a command on machines side by side"),
        ("console", _console, None, "follow the console, or tell where it is"),
        ("logs", _logs, None, "the journal"),
        ("history", _history, "*", "what happened: the steps of its re-runs, and what it can go back to"),
        ("restart", _restart, "*", "power-cycle or reboot, one after the other, and prove"),
        ("reprovision", _reprovision, "*", "raise the generation in the stack's file, then `pulumi up`"),
        ("rollback", _rollback, "*", "pin to the last good config, or another one, then `pulumi up`"),
    ):
        verb = verbs.add_parser(name, help=what, description=what, epilog=EPILOG)
        verb.add_argument("machines", nargs=machines or 1, metavar="MACHINE")
        if machines:
            verb.add_argument("--group", default="", help="all machines of this group, as the stack's file has it")
        verb.add_argument("--stack", default="", help="the Pulumi stack; without it the selected one")
        if name == "status":
            verb.add_argument("--all", action="store_true", help="list all machines, however many")
            verb.add_argument("--json", action="store_true", help="one JSON document on stdout")
            verb.add_argument("--html", default="", metavar="FILE", help="write a page for a browser")
            verb.add_argument("--metrics", default="", metavar="FILE", help="write OpenMetrics text")
        if name == "rollback":
            verb.add_argument("--to", default="", metavar="VERSION", help="as history has it; none follows the config")
        verb.set_defaults(run=run, group="", parser=verb)
    return parser


def _up(options: argparse.Namespace) -> int:
    """Become `pulumi`, which is told what may change, as is the program."""
    stack, texts = _stack(options.stack), machine_texts(Path(), _stack(options.stack))
    known = {name for text in texts for name in text.machines}
    names = declared(texts, options.machines)
    part = part_of(names, known, export_state(stack, show_secrets=False))
    left = len(known) - len(names)
    print(f"a part of the stack: {', '.join(names)}; {left} other{'s' * (left != 1)} stay as they are", flush=True)
    urns = targets(part, known, project=project_name(Path()), stack=stack)
    argv = ["pulumi", options.verb, "--stack", stack, *[f"--target={urn}" for urn in urns], *options.words]
    os.execvpe(argv[0], argv, os.environ | part.environment)  # noqa: S606 - no shell


def _audit(options: argparse.Namespace) -> int:
    return audit([*options.machines, *["--stack", options.stack] * bool(options.stack), *options.words])


def _status(options: argparse.Namespace) -> int:
    options = options.parser.parse_args([*options.machines, *options.words], options)
    stack = _stack(options.stack)
    found, declares = _statuses(stack, options.machines)
    now = time.time()
    try:
        if options.html:
            write_atomically(Path(options.html), page(stack, found, declares, now), 0o666)
        if options.metrics:
            write_atomically(Path(options.metrics), metrics(stack, found, now), 0o666)
    except OSError as error:
        raise UsageError(f"{error.filename} can't be written: {error.strerror}") from None
    if options.json:
        print(json.dumps(document(stack, found, now), indent=2))
    elif not (options.html or options.metrics):
        print(table(stack, found, now, all_of_them=options.all or bool(options.machines)))
    return 0


def _read_reports(places: Mapping[str, BucketWriter]) -> dict[str, Reported]:
    """With a line to stderr for each reason why some could not be read."""
    found = read_reports(places)
    for why, count in Counter(report.trouble for report in found.values() if report.trouble).items():
        _print(f"reports of {count} of {len(places)} machines can't be read: {why}", is_error=True)
    return found


def _statuses(stack: str, names: Sequence[str]) -> tuple[list[Status], dict[str, dict[str, str]]]:
    """The machines of a stack, or of all that share its file: those are groups of their own then."""
    stacks = [stack]
    with contextlib.suppress(EditError):  # what can't be read tells nothing of other stacks
        stacks = stacks_of(Path(), stack)
    found, declares = list[Status](), dict[str, dict[str, str]]()
    for one in stacks:
        try:
            exported = export_state(one)
        except NoRecordsError as error:
            if stacks == [stack] or NO_STACK not in str(error):
                raise
            print(f"stack {one} is not made yet: `make up STACK={stack}`", file=sys.stderr)
            continue
        its, its_declares = statuses(
            exported,
            names=names if stacks == [stack] else (),
            settings=file_settings(Path(), one),
            notes=noted(one),
            machines_dir=machines_folder(one.rpartition("/")[2]),
            read=_read_reports,
        )
        if stacks != [stack]:
            short = one.rpartition("/")[2]
            its = [replace(status, group=f"{short}/{status.group}" if status.group else short) for status in its]
        found += its
        declares |= its_declares
    if stacks != [stack] and names:
        chosen, unknown = matching(names, [status.name for status in found])
        if unknown:
            raise NoRecordsError(f"the stacks {', '.join(stacks)} have no machine {', '.join(unknown)}")
        found = [status for status in found if status.name in chosen]
    return found, {status.name: declares[status.name] for status in found}


def _ssh(options: argparse.Namespace) -> int:
    """Become OpenSSH's client, so that the terminal and its signals are its own."""
    (name,) = options.machines
    records, unproven = _records(options)
    if unproven:  # its first `pulumi up` may have failed: what it has written leads to the machine
        file = _machines_dir(options.stack) / ".ssh" / name
        if not file.is_file():
            raise UsageError(_never_proven(unproven))
        argv = ["ssh", "-F", str(file), *options.words, name]
    else:
        argv = _target(records[0]).login(options.words)
    os.closerange(3, 256)  # set-up need not wait for a session: what it locks is none of ssh's
    os.execvpe(argv[0], argv, for_child())  # noqa: S606 - no shell


def _exec(options: argparse.Namespace) -> int:
    command = " ".join(options.words)  # as ssh has it
    if not command.strip():
        raise UsageError("there is no command: name it after --, or as COMMAND=")
    records = _proven(options)
    codes = run_on_all(records, command, lambda name, line, is_error: _print(f"{name}: {line}", is_error=is_error))
    return int(any(codes.values()))


def _console(options: argparse.Namespace) -> int:
    (name,) = options.machines
    records, unproven = _records(options)
    told = records[0].request.console_log if records else _machines_dir(options.stack) / name / "console.log"
    if told and Path(told).is_file():
        follow_console(Path(told), _print)
        print(f"{name}: is off: this was its console, {told}", file=sys.stderr)
        return 0
    if unproven:
        raise UsageError(_never_proven(unproven))
    print(f"{name}: its console: {records[0].request.console_hint or 'this program knows of none'}")
    return 0


def _logs(options: argparse.Namespace) -> int:
    try:
        return follow_journal(
            _proven(options)[0], options.words, lambda line, is_error: _print(line, is_error=is_error)
        )
    except NotProvenError as failure:
        return _failed(options.machines[0], failure)


def _history(options: argparse.Namespace) -> int:
    from components.operate.rollback import versions_of  # with what makes configs: the other verbs begin without it

    failed = 0
    for record in _proven(options):
        try:
            lines = read_history(record, lambda line, name=record.name: _print(f"{name}: {line}", is_error=True))  # type: ignore[misc]
        except NotProvenError as failure:
            failed = _failed(record.name, failure)
            continue
        for line in lines or ["nothing is noted"]:
            _print(f"{record.name}: {line}")
        for version in versions_of(record, lambda line, name=record.name: _print(f"{name}: {line}", is_error=True)):  # type: ignore[misc]
            if version.proven.config_id != record.proven_config_id:
                _print(f"{record.name}: can go back to {version}")
    return failed


def _restart(options: argparse.Namespace) -> int:
    for record in _proven(options):
        progress = Progress(record.name)
        try:
            outputs = restart(record, progress)
        except NotProvenError as failure:
            return _failed(record.name, failure)
        progress.say(f"restarted, and proven: {outputs.config_id[:12]} on {outputs.os_version}")
    return 0


def _reprovision(options: argparse.Namespace) -> int:
    _check_words(options, GENERATION)
    texts = machine_texts(Path(), _stack(options.stack))
    return _edit(options, texts, raised(texts, options.machines))


def _rollback(options: argparse.Namespace) -> int:
    """The same for the setting `pinned`, with files of the objects to go back to beside the stack's."""
    from components.operate.rollback import NONE, NoVersionError, former, named, versions_of, write_pinned

    _check_words(options, PINNED)
    stack = _stack(options.stack)
    texts = machine_texts(Path(), stack)
    names = options.machines = declared(texts, options.machines)
    if options.to == NONE:
        print("What they were pinned to stays in its file, which can be deleted.")
        return _edit(options, texts, pinned(texts, dict.fromkeys(names, "")))
    if options.to and len(names) > 1:
        raise UsageError("a version is of one machine: name that alone, or leave TO= out")
    pins, files, folder = pins_of(texts), dict[str, str](), (Path() / stack_file(Path(), stack)).parent / "pinned"
    for record in _proven(options):
        if record.request.pull:
            raise UsageError(f"{record.name} pulls, and refuses an older object: take its config back instead")
        found = versions_of(record, lambda line, name=record.name: _print(f"{name}: {line}", is_error=True))  # type: ignore[misc]
        is_pinned = bool(pins[record.name])
        try:
            version = named(record, found, options.to) if options.to else former(record, found, is_pinned=is_pinned)
            file = write_pinned(folder, record.name, version)
        except NoVersionError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{folder} can't be written: {error.strerror}") from None
        files[record.name] = str(file)
        print(f"{record.name}: goes back to {version}")
        print(
            f"  {file} has secrets in the clear: git ignores it, by the .gitignore beside it. On another computer "
            f"`make rollback MACHINE={record.name} TO={version.proven.config_id[:12]}` writes it"
            if version.proven.has_secrets
            else f"  {file} holds no secret that this program knows of: commit it together with the edit"
        )
        print(f"  forward again, once its config is mended: make rollback MACHINE={record.name} TO={NONE}")
    return _edit(options, texts, pinned(texts, files))


def _check_words(options: argparse.Namespace, setting: str) -> None:
    if not {"--yes", "-y"} & set(options.words) and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("`pulumi up` asks, and without a terminal nobody can answer: say yes ahead, by `-- --yes`")
    if any(word.startswith("--config-file") for word in options.words):
        raise UsageError(f"--config-file names a file that isn't edited here: edit {setting} there, then `pulumi up`")


def _edit(options: argparse.Namespace, texts: Sequence[MachinesText], edited: Sequence[MachinesText]) -> int:
    """Write, show the edit, and become `pulumi up`, which shows its preview and asks."""
    differing = [(old, new) for old, new in zip(texts, edited, strict=True) if old != new]
    write([new for _, new in differing])
    for old, new in differing:
        print(old.difference(new), end="")
    if differing:
        print("The edit stays in the file, whatever comes of it: commit it, or take it back.")
    sys.stdout.flush()
    stack = ["--stack", options.stack] if options.stack else []
    os.execvp("pulumi", ["pulumi", "up", *stack, *options.words])  # noqa: S606 - no shell


def _failed(name: str, failure: NotProvenError) -> int:
    print(f"{name}: {failure}\n{name}: {failure.advice}", file=sys.stderr)
    return 1


def _records(options: argparse.Namespace) -> tuple[list[Record], list[str]]:
    return read_records(export_state(options.stack), options.machines)


def _proven(options: argparse.Namespace) -> list[Record]:
    """The records of the machines that were named, or of all. Raises `UsageError` where one was never proven."""
    records, unproven = _records(options)
    if unproven:
        raise UsageError(_never_proven(unproven))
    return records


def _never_proven(names: Sequence[str]) -> str:
    return f"no `pulumi up` has proven {', '.join(names)} yet: run that instead"


def _target(record: Record) -> SshTarget:
    try:
        return target_of(record, lambda line: print(f"{record.name}: {line}", file=sys.stderr))
    except NotProvenError as error:
        raise UsageError(f"{error}\n  {error.advice}") from None


def _stack(name: str) -> str:
    """A stack's full or own name; without one that of the selected stack."""
    argv = ["pulumi", "stack", "--show-name", "--non-interactive"]
    if name:
        return name
    asked = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise UsageError(f"no stack is named or selected: {asked.stderr.strip()}")
    return asked.stdout.strip()


def _machines_dir(stack: str) -> Path:
    """Where what belongs to a stack's machines lies on this computer."""
    return machines_folder(_stack(stack).rpartition("/")[2])


def _print(line: str, *, is_error: bool = False) -> None:
    print(line, file=sys.stderr if is_error else sys.stdout, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # nobody reads on (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        sys.exit(0)
