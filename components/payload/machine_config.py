"""What an object holds, from a machine's config: transpile, config id, lifecycle, rollback, agent, stamp; pointer."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pulumi

from cl.transpiler import Diagnostic, Report, Snippet, transpile
from cl.transpiler.detect import compose_source, is_ignition
from cl.transpiler.yamlnode import YamlError
from components.payload.agent import ADDRESS, FOLDER, INTERVAL, SIGNERS, signers_file, with_pull
from components.payload.lifecycle import IgnitionConfig, with_lifecycle
from components.payload.masking import MASK, StandIns, is_guessable, told, with_shown
from components.payload.rerun import check_rerun, warn_once
from components.payload.rollback import SCRIPT, repeatable, with_way_back
from components.payload.sensitive import sensitive_parts
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cl.transpiler.butane import Butane
    from cl.transpiler.lint import Allowed
    from components.commands.reprovision.request import HealthCheck
    from components.payload.masking import Places
    from components.settings.pull import PullSettings

STAMP = "/etc/flatcar/config-id"
GENERATION = "/etc/flatcar/generation"
SALT = "/etc/flatcar/config-salt"
POINTER_SPEC = "3.3.0"
_FILE_NAME = re.compile(r".*\.(ya?ml|bu|butane|json|ign)")
CT_PLATFORMS = {"aws": "ec2", "digitalocean": "digitalocean", "metal": "custom", "qemu": "custom"}
"""Container Linux Config's name for each platform of Ignition's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """What a machine should be, ready for its store.

    `config_id` is the SHA-512 (hex) of the Ignition config with the generation, the agent's interval and its signers in
    it, before lifecycle, way back, agent and stamp are added: another lifecycle, deadline or window alone is no other
    config. With a salt that is in it too; `unsalted_id` is the id without.
    `ignition` is the whole object, decoded; `text` its exact bytes, or what `pull.text_at` makes them from where the
    machine pulls. `secrets` names what in it others should not read: secret variables that it uses, files with private
    keys … `seen` is the same config with `stand_ins` for the values of its secret variables, which may be shown; None
    when it is no config without these values. `uses_secrets` is true too where a value is not known yet: it may be one.
    """

    config_id: str
    unsalted_id: str
    uses_secrets: bool
    ignition: IgnitionConfig
    text: str
    secrets: tuple[str, ...]
    seen: IgnitionConfig | None
    stand_ins: StandIns


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What the agent of a machine that pulls has to know, beside the config: see `FlatcarMachineArgs`."""

    machine: str
    settings: PullSettings
    health: Sequence[HealthCheck]
    allow_degraded: bool
    timeout: int
    login_user: str
    os_update: str = "allow"
    owner: str = ""


class NotYetKnownError(Exception):
    """A config can't be read before the values of some variables are known; nothing else is wrong with it."""


def machine_config(
    config: Path | str | Butane,
    *,
    snippets: Sequence[Path | str | Butane] = (),
    files_dir: Path,
    platform: str,
    strict: bool,
    shared_variables: Mapping[str, str],
    secrets: Mapping[str, str],
    variables: Mapping[str, str],
    lifecycle: Lifecycle,
    keep: Sequence[str],
    generation: int,
    rollback_after: int,
    login_user: str | None = None,
    allow: Collection[Allowed] = (),
    unknown: Collection[str] = (),
    agent: Agent | None = None,
    salt: str = "",
) -> MachineConfig:
    """Transpile a config and add generation, lifecycle, way back (after `rollback_after` s; 0: none), agent, stamp.

    `shared_variables` and `secrets` reach a config only where it names them; `variables` are the machine's own, and
    one that is not used is an error. Always spec 3: current Flatcar turns 2.x into 3.1 at boot, so this only does it
    earlier, and Ignition without that step reads it too. Raises `pulumi.RunError` with the rendered report (secrets
    masked) for anything that is wrong, before any resource exists; `check_rerun` tells of `login_user` and `allow`.

    `unknown` names variables whose values only stand for the real ones. What is found where one of them stands is left
    out; NotYetKnownError is raised when that leaves no config.
    """
    name, source = config_name(config), _read(config, config_name(config))
    others = [_read(snippet, f"<snippet {number}>") for number, snippet in enumerate(snippets, start=1)]
    sources = [(text.filename, str(text)) for text in (source, *others) if isinstance(text, Snippet)]
    named = frozenset[str]().union(*(_named_variables(text) for _, text in sources))
    shared = {name: value for name, value in {**shared_variables, **secrets}.items() if name in named}
    used = {**shared, **variables}
    stand_ins = StandIns.of({name: used[name] for name in secrets if name in used and name not in unknown})
    unsure, masked = _places(sources, unknown), _places(sources, stand_ins.values)
    run = partial(
        transpile,
        source,
        filename=name,
        files_dir=files_dir,
        platform=CT_PLATFORMS[platform],
        strict=strict,
        snippets=others,
        spec="3",
    )
    result = run(variables=used)
    seen_result = run(variables={**used, **stand_ins.values}) if stand_ins.values else result
    report = _without(result.report, unsure)
    text = told(report, seen_result.report, stand_ins, masked).render()
    if report.is_fatal:
        has_error = any(entry.severity == "error" for entry in report)
        why = "" if has_error else " (flatcar:strict: a warning is an error)"
        raise pulumi.RunError(f"{name} is not a usable config{why}\n\n{text}")
    warn_once(text)
    if result.json is None:
        raise NotYetKnownError
    wanted = json.loads(result.json)
    seen = json.loads(seen_result.json) if seen_result.json is not None else None
    _refuse_reserved(wanted, name)
    ignition = _numbered(wanted, generation, agent)
    config_id = unsalted_id = _id(ignition)
    if salt:
        ignition = _with_file(ignition, SALT, salt, mode=0o600)
        config_id = _id(ignition)

    def finished(config: IgnitionConfig) -> IgnitionConfig:
        config = with_lifecycle(repeatable(config), lifecycle)
        if rollback_after:
            config = with_way_back(config, rollback_after)
        if agent is not None:
            config = with_pull(
                config,
                agent.settings,
                machine=agent.machine,
                lifecycle=lifecycle,
                keep=keep,
                rollback=bool(rollback_after),
                pointer=pointer(ADDRESS) if platform == "metal" else "",
                health=agent.health,
                allow_degraded=agent.allow_degraded,
                timeout=agent.timeout,
                login_user=agent.login_user,
                os_update=agent.os_update,
                owner=agent.owner,
            )
        return _with_file(config, STAMP, config_id)

    ignition = finished(ignition)
    content = _dumped(ignition)
    check = partial(
        check_rerun,
        size=len(content.encode()),
        sources=sources,
        platform=platform,
        login_user=login_user,
        lifecycle=lifecycle,
        keep=keep,
        allow=allow,
    )
    findings = _without(check(wanted, variables=used), unsure)
    seen_findings = check(seen, variables={**used, **stand_ins.values}) if seen is not None else Report()
    text = told(findings, seen_findings, stand_ins, masked).render()
    if findings.is_fatal:
        raise pulumi.RunError(f"{name} would do harm when the machine runs it again\n\n{text}")
    warn_once(text)
    if agent is not None or lifecycle is Lifecycle.REPLACE:  # the state or the machine shows an id without salt
        for secret in filter(lambda secret: is_guessable(used[secret]), stand_ins.values):
            warn_once(
                f"the secret {secret!r} is so short that it can be found by trying: for a machine that pulls, or that "
                f"is replaced, the config id of {name} is a plain hash of all that is in it; take a longer one"
            )
    shown_as = stand_ins.shown_as(dict.fromkeys(stand_ins.values, MASK))
    return MachineConfig(
        config_id=config_id,
        unsalted_id=unsalted_id,
        uses_secrets=bool(stand_ins.values) or any(name in used for name in unknown),
        ignition=ignition,
        text=content,
        secrets=(
            *(name for name in secrets if name in named),
            *(with_shown(part, shown_as) for part in sensitive_parts(wanted, seen)),
            *(agent.settings.sensitive if agent is not None else ()),
        ),
        seen=finished(_numbered(seen, generation, agent)) if seen is not None else None,
        stand_ins=stand_ins,
    )


def config_name(config: Path | str | Butane) -> str:
    """What reports call a config."""
    if isinstance(config, str):
        return config.filename if isinstance(config, Snippet) else "<config>"
    return str(config) if isinstance(config, Path) else "the config in Python"


def _read(config: Path | str | Butane, name: str) -> Snippet | Butane:
    if isinstance(config, str):
        if "\n" not in config and _FILE_NAME.fullmatch(config):
            raise pulumi.RunError(f"{config!r} is taken for the text of a config; its file is Path({config!r})")
        return config if isinstance(config, Snippet) else Snippet(config, name)
    if not isinstance(config, Path):
        return config
    try:
        return Snippet(config.read_text(encoding="utf-8"), str(config))
    except (OSError, UnicodeDecodeError) as error:
        raise pulumi.RunError(f"{config}: can't be read: {error}") from None


def pointer(source_url: str) -> str:
    """The user data: a function of the object's address alone, so that it never changes while the machine lives."""
    return _dumped({"ignition": {"config": {"replace": {"source": source_url}}, "version": POINTER_SPEC}})


@functools.lru_cache(maxsize=32)  # a fleet's machines share sources
def _named_variables(source: str) -> frozenset[str]:
    """The variables that a source names outside of comment lines; the transpiler finds out what is really used."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith("#")]
    return frozenset(re.findall(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}", "\n".join(lines)))


def _places(sources: Sequence[tuple[str, str]], names: Collection[str]) -> Places:
    """The values in which one of these variables stands, and which."""
    found: Places = {}
    for filename, text in sources if names else ():

        def note(value: str, line: int, column: int, filename: str = filename) -> str:
            if here := tuple(name for name in names if f"${{{name}}}" in value):
                found[filename, line, column] = here
            return value

        with contextlib.suppress(YamlError):  # the transpiler tells it
            compose_source(text, note, is_json=is_ignition(text))
    return found


def _without(report: Report, places: Places) -> Report:
    def kept(entries: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
        return tuple(entry for entry in entries if (entry.filename, entry.line, entry.column) not in places)

    return replace(report, entries=kept(report.entries), unreadable=kept(report.unreadable))


def _refuse_reserved(ignition: IgnitionConfig, name: str) -> None:
    storage = ignition.get("storage", {})
    for kind in ("files", "directories", "links"):
        for node in storage.get(kind, []):
            for ours in (STAMP, GENERATION, SALT, SCRIPT, FOLDER):  # told by our name: the config's may hold secrets
                if node["path"] == ours or (ours == FOLDER and node["path"].startswith(f"{FOLDER}/")):
                    raise pulumi.RunError(f"{name}: {ours} is written by the program itself; take it out of the config")


def _numbered(ignition: IgnitionConfig, generation: int, agent: Agent | None) -> IgnitionConfig:
    """With what else the config id counts: the generation, and interval and signers of a machine that pulls."""
    if generation:
        ignition = _with_file(ignition, GENERATION, str(generation))
    if agent is not None:
        ignition = _with_file(ignition, INTERVAL, str(agent.settings.interval))
        if agent.settings.signers:
            ignition = _with_file(ignition, SIGNERS, signers_file(agent.settings))
    return ignition


def _id(ignition: IgnitionConfig) -> str:
    return hashlib.sha512(_dumped(ignition).encode()).hexdigest()


def _with_file(ignition: IgnitionConfig, path: str, line: str, mode: int = 0o644) -> IgnitionConfig:
    storage = ignition.get("storage", {})
    file = {"path": path, "overwrite": True, "mode": mode, "contents": {"source": "data:," + quote(line + "\n")}}
    return {**ignition, "storage": {**storage, "files": [*storage.get("files", []), file]}}


def _dumped(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
