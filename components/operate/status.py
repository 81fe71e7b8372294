"""How the machines of a stack are, as far as this computer knows without asking them. Pure but for files on it, and
what it is given to read reports with.

| from                                                      | what                                                    |
|-----------------------------------------------------------|---------------------------------------------------------|
| Pulumi's state: a machine's inputs, its Command's outputs | wanted and proven config, lifecycle, OS, when, how long |
| the stack's file                                          | group, wave                                             |
| logs of runs on this computer                             | that the last one failed                                |
| the last audit from this computer                         | drift, history, that it did not answer                  |
| reports of machines that pull, in their store             | what they run, or wait for, or refuse                   |
| files of a machine in QEMU                                | that it is off                                          |
"""

from __future__ import annotations

import contextlib
import glob
import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from components.audit.records import COMMAND_TYPE, MACHINE_TYPE, SUFFIX, NoRecordsError, shown
from components.commands.environment import own_folder
from components.commands.qemu.state import is_running, read_record
from components.commands.untrusted import json_object, printable, shortened
from components.config.section import Section
from components.operate.reports import Reported, place_of_reports
from components.payload.summary import SECTIONS, digests
from components.settings.part import matching
from components.settings.rollout import Member, plan, rollout_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from components.audit.noted import Noted
    from components.commands.objects.bucket import BucketWriter

LONGEST = 200
"""Characters of anything that a machine has said."""
SHORT = 12
_NO_ANSWER = "no SSH server answers"
_FAILED = ("refused", "not-proven", "went-back", "no-object")
"""What a machine that pulls reports, and does not get over by itself."""


class State(StrEnum):
    """A machine in a word, in the order in which a person wants to know."""

    FAILED = "failed"
    """The last run that was started from this computer did not prove it; or it pulls, and reports so."""
    OFF = "off"
    NO_ANSWER = "no answer"
    """It did not answer the last audit."""
    NEVER_PROVEN = "never proven"
    NOT_TRIED = "not tried"
    """Another config is wanted than the proven one, and no run from this computer has tried it."""
    IGNORED = "ignored"
    """So it is, and is meant to be: lifecycle `ignore`."""
    PULLS = "pulls"
    """It takes its configs by itself, and has not reported that it runs the wanted one."""
    PROVEN = "proven"

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to do something about it."""
        return self in (State.FAILED, State.OFF, State.NO_ANSWER, State.NEVER_PROVEN, State.NOT_TRIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A step of a machine's history: when (UTC, as it was written), who took it, the short config id, what it was."""

    at: str
    by: str
    config_id: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A machine. Config ids are short, times in seconds since 1970; "" and None where something is not known.

    `changed_at` is when it was last proven, `downtime_seconds` how long that took it away. `drift` is how much the
    audit at `audited_at` has found. `reported` is the state that it reported to the store at `reported_at`, `why` the
    machine's own words for it, or why its report could not be read.
    """

    name: str
    group: str
    state: State
    lifecycle: str
    config: str
    wanted: str
    running: str
    wave: str
    os_version: str
    changed_at: float | None
    downtime_seconds: float | None
    drift: int | None
    audited_at: float | None
    reported: str = ""
    reported_at: float | None = None
    why: str = ""
    history: tuple[Event, ...]

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to do something about it."""
        return self.state.needs_a_person or bool(self.drift)


def statuses(
    exported: str,
    *,
    names: Iterable[str] = (),
    settings: Mapping[str, Any],
    notes: Mapping[str, Noted],
    machines_dir: Path,
    read: Callable[[Mapping[str, BucketWriter]], Mapping[str, Reported]] | None = None,
) -> tuple[list[Status], dict[str, dict[str, str]]]:
    """The machines in an exported state, by name, and what each one's config declares: a hash by section and path.

    `names` are some of them, or patterns. `settings` has the stack's `rollout`, and its `machines` by name. `read` gets
    the places of those that report to their store (`reports.read_reports`).
    Raises `NoRecordsError` for what is no state, or has none of the names.
    """
    try:
        resources = json.loads(exported)["deployment"].get("resources") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoRecordsError("this is not what `pulumi stack export` prints") from None
    components, outputs, stack = dict[str, dict[str, Any]](), dict[str, dict[str, Any]](), ""
    requests = dict[str, object]()
    for resource in resources:
        start, project, *_, name = str(resource["urn"]).split("::")
        stack = f"{project}.{start.rpartition(':')[2]}"
        if resource["type"] == MACHINE_TYPE and not resource.get("delete"):
            components[name] = resource.get("inputs") or {}
        elif resource["type"] == COMMAND_TYPE and name.endswith(SUFFIX) and not resource.get("delete"):
            said = str(shown((resource.get("outputs") or {}).get("stdout")) or "").strip().splitlines()
            outputs[name.removesuffix(SUFFIX)] = json_object(said[-1]) if said else {}
            requests[name.removesuffix(SUFFIX)] = (resource.get("inputs") or {}).get("stdin")
    known = sorted({*components, *outputs})
    chosen, unknown = matching(names, known) if (names := list(names)) else (known, [])
    if unknown:
        raise NoRecordsError(f"the stack has no machine {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    waves, tried = _waves(settings), _tried(stack)
    places = {name: place_of_reports(components.get(name, {}), requests.get(name)) for name in chosen}
    reports = read({name: place for name, place in places.items() if place is not None}) if read is not None else {}
    found = []
    for name in chosen:
        wanted, proven, noted = components.get(name, {}), outputs.get(name, {}), notes.get(name)
        own = settings.get("machines", {}).get(name)
        found.append(
            _status(
                name,
                wanted,
                proven,
                noted,
                reports.get(name, Reported()),
                group=str((own if isinstance(own, dict) else {}).get("group") or ""),
                wave=waves.get(name, ""),
                is_off=_is_off(machines_dir / name),
                tried_at=tried.get(name),
            )
        )
    return found, {name: dict(_declared(components.get(name, {}))) for name in chosen}


def _status(
    name: str,
    wanted: Mapping[str, Any],
    proven: Mapping[str, Any],
    noted: Noted | None,
    report: Reported,
    *,
    group: str,
    wave: str,
    is_off: bool,
    tried_at: float | None,
) -> Status:
    wanted_id, running = _text(shown(wanted.get("configId")))[:SHORT], _text(proven.get("config_id"))[:SHORT]
    changed_at = _number(proven.get("ended_at")) or None
    lifecycle = _text(wanted.get("lifecycle"))
    if noted is not None and noted.at > (changed_at or 0) and not noted.trouble:
        running, os_version = _text(noted.config_id)[:SHORT], _text(noted.os_version)
    else:
        os_version = _text(proven.get("os_version"))
    if (report.at or 0) > max(changed_at or 0, noted.at if noted is not None and not noted.trouble else 0):
        running, os_version = report.running[:SHORT] or running, _text(report.os_version) or os_version
    if report.state == "proven":
        changed_at = changed_at or report.at
    is_wanted = running == wanted_id or not wanted_id
    is_about_wanted = report.config_id[:SHORT] in (wanted_id, "")
    state = State.PROVEN
    if is_off:
        state = State.OFF
    elif report.state in _FAILED and is_about_wanted:
        state = State.FAILED
    elif report.state == "proven" and is_about_wanted:
        state = State.PROVEN
    elif report.state and not is_wanted:
        state = State.PULLS
    elif tried_at is not None and tried_at > (changed_at or 0) and not (proven and is_wanted):
        state = State.FAILED
    elif not proven:
        state = State.NEVER_PROVEN
    elif noted is not None and noted.at > (changed_at or 0) and noted.trouble.startswith(_NO_ANSWER):
        state = State.NO_ANSWER
    elif "pull" in wanted and not running:
        state = State.PULLS
    elif not is_wanted:
        state = State.IGNORED if lifecycle == "ignore" else State.NOT_TRIED
    return Status(
        name=name,
        group=group,
        state=state,
        lifecycle=lifecycle,
        config=_text(wanted.get("config")),
        wanted=wanted_id,
        running=running,
        wave=wave,
        os_version=os_version,
        changed_at=changed_at,
        downtime_seconds=_number(proven.get("downtime_seconds")),
        drift=noted.drift if noted is not None and not noted.trouble else None,
        audited_at=noted.at if noted is not None else None,
        reported=report.state,
        reported_at=report.at,
        why=_text(report.why or report.trouble),
        history=tuple(_events(proven, noted, report, running=_text(proven.get("config_id"))[:SHORT])),
    )


def _events(proven: Mapping[str, Any], noted: Noted | None, report: Reported, *, running: str) -> Iterator[Event]:
    """The machine's own history as the last audit read it; the last proof, if that came later; its last report."""
    last = ""
    for line in noted.history if noted is not None else ():
        at, by, config_id, step = (*_text(line).split()[:4], "", "", "", "")[:4]
        yield Event(at=at, by=by, config_id=config_id[:SHORT], step=step)
        last = max(last, at)
    if (ended := _number(proven.get("ended_at"))) and (at := _utc(ended)) > last:
        yield Event(at=at, by="up", config_id=running, step="proven")
    if report.state and report.at:
        yield Event(at=_utc(report.at), by="report", config_id=report.config_id[:SHORT], step=report.state)


def _declared(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a config declares, and a digest of each; contents, which states of earlier versions have, are no part."""
    given = {section: value for section in SECTIONS if (value := shown(inputs.get(section)))}
    for section, found in digests(given).items():
        for name, digest in found.items() if isinstance(found, dict) else [("", found)]:
            yield f"{section} {name}".strip(), str(digest)


def _waves(settings: Mapping[str, Any]) -> dict[str, str]:
    """Which wave each machine is in, such as "1/3"; none where the settings have something wrong."""
    members = [
        Member(name=name, config=str(own.get("config")), group=str(own.get("group") or ""))
        for name, own in (settings.get("machines") or {}).items()
        if isinstance(own, dict)
    ]
    problems: list[str] = []
    rollout = settings.get("rollout")
    given = rollout_settings(Section("rollout", rollout if isinstance(rollout, dict) else {}, problems))
    try:
        return {} if problems else {step.name: f"{step.wave + 1}/{step.waves}" for step in plan(given, members)}
    except ValueError:
        return {}


def _is_off(directory: Path) -> bool:
    return read_record(directory) is not None and not is_running(directory)


def _tried(stack: str) -> dict[str, float]:
    """When the last run of each machine of PROJECT.STACK began that was started here and did something.

    From the first lines of `commands.reprovision.log`'s files.
    """
    found = dict[str, float]()
    try:
        logs = list((own_folder() / "logs").glob(f"*.{glob.escape(stack)}.*.log"))
    except RuntimeError:  # nobody knows this user's home
        return found
    for path in logs:
        name = path.name.partition(f".{stack}.")[2].removesuffix(".log")
        with contextlib.suppress(OSError, ValueError), path.open(encoding="utf-8", errors="replace") as log:
            began = datetime.strptime(log.readline(64).strip(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            found[name] = max(found.get(name, 0), began.timestamp())
    return found


def _text(value: Any) -> str:
    """What may be shown of anything: a machine's own words are among it."""
    return shortened(printable(str(value if value is not None else "")), LONGEST)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(stack: str, found: Sequence[Status], now: float) -> dict[str, Any]:
    """All of it, as JSON has it."""
    return {
        "stack": stack,
        "at": round(now, 1),
        "counts": dict(Counter(status.state.value for status in found)),
        "machines": [{**asdict(status), "needs_a_person": status.needs_a_person} for status in found],
    }


WIDTH = 80
MOST_LISTED = 40


def table(stack: str, found: Sequence[Status], now: float, *, all_of_them: bool) -> str:
    """What a person reads: counts, groups, what needs a person, and the machines, within 80 columns.

    The machines alone that need a person, where there are more than `MOST_LISTED` and not `all_of_them` are asked for.
    """
    machines = "1 machine" if len(found) == 1 else f"{len(found)} machines"
    lines = [shortened(f"{stack}: {machines}: {_counted(found)}", WIDTH)]
    groups = sorted({status.group for status in found})
    if groups != [""]:
        width = min(max(map(len, groups)), 24)
        for group in groups:
            its = [status for status in found if status.group == group]
            name = shortened(group or "(none)", 24)
            lines.append(shortened(f"  {name:<{width}}  {len(its):>5}: {_counted(its)}", WIDTH))
    needing = [status for status in found if status.needs_a_person]
    if needing:
        lines += ["", "needs a person:", *[shortened(f"  {status.name}: {_need(status)}", WIDTH) for status in needing]]
    listed = found if all_of_them or len(found) <= MOST_LISTED else needing
    if listed:
        lines += ["", *_rows(listed, now)]
    if len(listed) < len(found):
        lines += ["", f"{len(found) - len(listed)} more: ARGS=--all, or name them"]
    return "\n".join(lines)


def _counted(found: Sequence[Status]) -> str:
    counts = Counter(status.state for status in found)
    parts = [f"{counts[state]} {state}" for state in State if counts[state]]
    drifted = sum(bool(status.drift) for status in found)
    return ", ".join(parts + [f"{drifted} drifted"] * bool(drifted))


def _need(status: Status) -> str:
    ran = f"it ran {status.running}, " if status.running else ""
    what = {
        State.FAILED: f"its last run failed; {ran}{status.wanted} is wanted",
        State.OFF: "it is off: `make up` switches it on",
        State.NO_ANSWER: "it did not answer the last audit",
        State.NEVER_PROVEN: "no run has proven it: `make up`",
        State.NOT_TRIED: f"it runs {status.running or 'nothing'}, {status.wanted} waits: `make up`",
    }.get(status.state)
    if status.state is State.FAILED and status.reported in _FAILED:
        what = f"it reports {status.reported}{f': {status.why}' if status.why else ''}; {ran}{status.wanted} is wanted"
    drift = f"{status.drift} drift{'s' * (status.drift != 1)}: `make audit`" if status.drift else ""
    return "; ".join(filter(None, (what, drift)))


def _rows(found: Sequence[Status], now: float) -> list[str]:
    """A table; columns that say the same of all machines are told in a line of their own, or left out when empty."""
    columns = {
        "machine": [status.name for status in found],
        "state": [status.state.value for status in found],
        "reports": [status.reported for status in found],
        "lifecycle": [status.lifecycle for status in found],
        "runs": [status.running or "-" for status in found],
        "wanted": ["" if status.wanted == status.running else status.wanted for status in found],
        "wave": [status.wave for status in found],
        "OS": [status.os_version for status in found],
        "changed": [ago(now, status.changed_at) for status in found],
        "down": ["" if not status.downtime_seconds else f"{status.downtime_seconds:.0f} s" for status in found],
        "drift": ["" if status.drift is None else str(status.drift or "clean") for status in found],
    }
    same = []
    for name in ("reports", "lifecycle", "wave", "OS", "wanted", "down", "drift"):
        values = set(columns[name])
        if values == {""} or (len(values) == 1 and len(found) > 1):
            same += [f"{name} {value}" for value in values if value]
            del columns[name]
    widths = {name: max(len(name), *map(len, values)) for name, values in columns.items()}
    for name, least in (("machine", 16), ("OS", 10), ("machine", 8), ("OS", 6)):  # what is cut first
        if name in widths and (over := sum(widths.values()) + 2 * (len(widths) - 1) - WIDTH) > 0:
            widths[name] = max(min(least, widths[name]), widths[name] - over)
    for name in ("lifecycle", "down", "wave", "wanted"):  # and what is left out then
        if name in widths and sum(widths.values()) + 2 * (len(widths) - 1) > WIDTH:
            del widths[name], columns[name]
    lines = [f"of all: {', '.join(same)}"] if same else []
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    for row in rows:
        cells = zip(row, widths.values(), strict=True)
        lines.append("  ".join(f"{shortened(value, width):<{width}}" for value, width in cells).rstrip())
    return lines


def ago(now: float, then: float | None) -> str:
    """A time in words: `3 d`; "" where it is not known."""
    if then is None:
        return ""
    seconds = max(0, round(now - then))
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def metrics(stack: str, found: Sequence[Status], now: float) -> str:
    """OpenMetrics text, all of it gauges: so Prometheus's older text format has it, too (node_exporter's textfile)."""
    lines = []

    def family(name: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        lines.extend([f"# TYPE {name} gauge", f"# HELP {name} {about}"])
        for labels, value in samples:
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"stack": stack, **labels}.items())
            lines.append(f"{name}{{{inside}}} {value:.15g}")

    groups = sorted({status.group for status in found})
    counts = Counter((status.group, status.state) for status in found)
    family(
        "flatcar_machines",
        "How many machines of a group are in a state.",
        [({"group": group, "state": state}, counts[group, state]) for group in groups for state in State],
    )
    family(
        "flatcar_machine",
        "Always 1: a machine, its state, and what it is to run and was proven to run.",
        [
            (
                {
                    "machine": status.name,
                    "group": status.group,
                    "state": status.state,
                    "lifecycle": status.lifecycle,
                    "wanted": status.wanted,
                    "running": status.running,
                    "os_version": status.os_version,
                },
                1,
            )
            for status in found
        ],
    )
    family(
        "flatcar_machine_report",
        "Always 1: what a machine that pulls has last reported to its store.",
        [({"machine": status.name, "reported": status.reported}, 1) for status in found if status.reported],
    )
    for name, about, field in (
        ("flatcar_machine_changed_timestamp_seconds", "When it was last proven.", "changed_at"),
        ("flatcar_machine_downtime_seconds", "How long its last change took it away.", "downtime_seconds"),
        ("flatcar_machine_drift", "How many drifts the last audit from this computer has found.", "drift"),
        ("flatcar_machine_audited_timestamp_seconds", "When that was.", "audited_at"),
        ("flatcar_machine_reported_timestamp_seconds", "When it has last reported to its store.", "reported_at"),
    ):
        values = [(status.name, getattr(status, field)) for status in found]
        family(name, about, [({"machine": machine}, value) for machine, value in values if value is not None])
    family("flatcar_status_timestamp_seconds", "When this was written.", [({}, now)])
    return "\n".join([*lines, "# EOF", ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
