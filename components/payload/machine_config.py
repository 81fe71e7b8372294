"""What an object holds, from a machine's config: transpiled, with a config id, completed by fragments, checked."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from cl.transpiler import Report, Snippet, Transpiled, transpile
from cl.transpiler.fragments import merged
from cl.transpiler.variables import names_in
from components.commands.reprovision.pulling import STORE
from components.payload.agent import ADDRESS, FOLDER, INTERVAL, REPORTS, SIGNERS, agent_fragment, signers_file
from components.payload.fragments import IgnitionConfig, files, text_file
from components.payload.lifecycle import lifecycle_fragment
from components.payload.masking import MASK, StandIns, is_guessable, locators, masked_report, with_shown, without
from components.payload.rollback import SCRIPT, retry_fragment, rollback_fragment
from components.payload.rules import check_rules, warn_once
from components.payload.sensitive import readable_secrets, sensitive_parts
from components.platforms.registry import ignition_platform
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cl.transpiler.butane import Butane
    from components.payload.masking import Locators
    from components.settings.machine import MachineSettings
    from components.settings.ssh import LoginKey

STAMP = "/etc/flatcar/config-id"
GENERATION = "/etc/flatcar/generation"
SALT = "/etc/flatcar/config-salt"
OUR_UNITS = r"flatcar-(rollback\.(service|timer)|pull\.(service|timer)|pull-proof\.service|restore-host-keys\.service)"
POINTER_SPEC = "3.3.0"
_FILE_NAME = re.compile(r".*\.(ya?ml|bu|butane|json|ign)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfigArgs:
    """What a machine's config is made of: its settings, and what it has from its stack (see `FlatcarMachineArgs`).

    `machine` is its name, `owner` whom it belongs to, `platform` Ignition's name. `login_user` has to find an SSH key
    in the config, unless that is `platform_user`, to whom the platform brings one; None: it brings none. `login_key` is
    the one that the program itself logs in with, None where it isn't known.
    `image_version` is the OS version that a new machine starts with, "" where it is not pinned.
    """

    settings: MachineSettings
    machine: str
    owner: str
    files_dir: Path
    platform: str
    platform_user: str | None
    login_user: str
    login_key: LoginKey | None = None
    strict: bool
    image_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableValues:
    """The values of a machine's variables.

    `shared` and `secrets` reach a config only where it names them; `own` are the machine's, and one that is not used is
    an error. `unknown` names those of all three whose values only stand for the real ones.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    unknown: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """What a machine should be, ready for its store.

    `config_id` is the SHA-512 (hex) of the Ignition config with the generation in it, the agent's interval, its
    signers, and that it reports to the store, before lifecycle, rollback, agent and stamp are added: another lifecycle,
    deadline or window alone is no other config. With a salt that is in it too; `unsalted_id` is the id without.
    `ignition` is the whole object, decoded; `text` its exact bytes, or what `agent.text_at` makes them from where the
    machine pulls. `secrets` names what in it others should not read: secret variables that it uses, files with private
    keys … `masked` is the same config with `stand_ins` for the values of its secret variables, which may be shown; None
    when it is no config without these values. `uses_secrets` is true too where a value is not known yet: it may be one.
    """

    config_id: str
    unsalted_id: str
    uses_secrets: bool
    ignition: IgnitionConfig
    text: str
    secrets: tuple[str, ...]
    masked: IgnitionConfig | None
    stand_ins: StandIns


class NotYetKnownError(Exception):
    """A config can't be read before the values of some variables are known; nothing else is wrong with it."""


def machine_config(args: MachineConfigArgs, variables: VariableValues, salt: str = "") -> MachineConfig:
    """Transpile a config, compute its id, and add what it needs on its machine: lifecycle, rollback, agent, stamp.

    Always spec 3: current Flatcar turns 2.x into 3.1 at boot, so this only does it earlier, and Ignition without that
    step reads it too. Raises `pulumi.RunError` with the rendered report (secrets masked) for anything that is wrong,
    before any resource exists. What is found where an unknown value is used is left out; NotYetKnownError is raised
    when that leaves no config.
    """
    pull = args.settings.pull
    source = _Source.of(args.settings, variables)
    config, masked = _transpiled(args, source)
    _refuse_reserved(config, source.name)

    # The config id: what it is computed of, and no more, is another config
    counted = merged(config, _counted(args.settings))
    unsalted_id = config_id = _digest(counted)
    if salt:
        counted = merged(counted, files(text_file(SALT, salt + "\n", 0o600)))
        config_id = _digest(counted)

    ignition = _completed(args, counted, config_id)
    text = _dumped(ignition)
    _check(args, source, config, masked, len(text.encode()))
    shown_as = source.stand_ins.shown_as(dict.fromkeys(source.stand_ins.values, MASK))
    return MachineConfig(
        config_id=config_id,
        unsalted_id=unsalted_id,
        uses_secrets=bool(source.stand_ins.values) or any(name in source.values for name in variables.unknown),
        ignition=ignition,
        text=text,
        secrets=(
            *(name for name in variables.secrets if name in source.named),
            *(with_shown(part, shown_as) for part in sensitive_parts(config, masked)),
            *(pull.sensitive if pull is not None else ()),
        ),
        masked=_completed(args, merged(masked, _counted(args.settings)), config_id) if masked is not None else None,
        stand_ins=source.stand_ins,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A config and its snippets, the values of the variables that they use, and where secret and unknown ones are.

    `texts` has those that are text, with their file names; `named` are the variables that these name, and
    `other_variables` those that they could name.
    """

    name: str
    config: Snippet | Butane
    snippets: Sequence[Snippet | Butane]
    texts: Sequence[tuple[str, str]]
    named: frozenset[str]
    values: Mapping[str, str]
    other_variables: Collection[str]
    stand_ins: StandIns
    secret_at: Locators
    unknown_at: Locators

    @classmethod
    def of(cls, settings: MachineSettings, variables: VariableValues) -> _Source:
        """Read the sources. Raises `pulumi.RunError` when one can't be."""
        name = config_name(settings.config)
        config = _read(settings.config, name)
        snippets = [_read(snippet, f"<snippet {number}>") for number, snippet in enumerate(settings.snippets, start=1)]
        texts = [(text.filename, str(text)) for text in (config, *snippets) if isinstance(text, Snippet)]
        named = frozenset[str]().union(*(_named_variables(text) for _, text in texts))
        shared = {name: value for name, value in {**variables.shared, **variables.secrets}.items() if name in named}
        values = {**shared, **variables.own}
        secrets = [name for name in variables.secrets if name in values and name not in variables.unknown]
        return cls(
            name=name,
            config=config,
            snippets=snippets,
            texts=texts,
            named=named,
            values=values,
            other_variables=tuple(sorted({*variables.shared, *variables.secrets} - values.keys())),
            stand_ins=StandIns.of({name: values[name] for name in secrets}),
            secret_at=locators(texts, secrets),
            unknown_at=locators(texts, variables.unknown),
        )

    @property
    def masked_values(self) -> dict[str, str]:
        """`values` with stand-ins for the secret ones."""
        return {**self.values, **self.stand_ins.values}

    def report(self, real: Report, masked: Report) -> tuple[Report, str]:
        """`real` without what is found where a value is unknown, and what may be shown of that."""
        report = without(real, self.unknown_at)
        return report, masked_report(report, masked, self.stand_ins, self.secret_at).render()


def _transpiled(args: MachineConfigArgs, source: _Source) -> tuple[IgnitionConfig, IgnitionConfig | None]:
    """The Ignition config with the values of secrets, and with their stand-ins: None when it is none with these."""

    def run(values: Mapping[str, str]) -> Transpiled:
        return transpile(
            source.config,
            filename=source.name,
            files_dir=args.files_dir,
            platform=ignition_platform(args.platform).ct_platform,
            strict=args.strict,
            snippets=source.snippets,
            spec="3",
            variables=values,
            other_variables=source.other_variables,
        )

    result = run(source.values)
    masked = run(source.masked_values) if source.stand_ins.values else result
    report, text = source.report(result.report, masked.report)
    if report.is_fatal:
        has_error = any(entry.severity == "error" for entry in report)
        why = "" if has_error else " (flatcar:strict: a warning is an error)"
        raise pulumi.RunError(f"{source.name} is not a usable config{why}\n\n{text}")
    warn_once(text)
    if (config := result.config) is None:
        raise NotYetKnownError
    return config, masked.config


def _counted(settings: MachineSettings) -> IgnitionConfig:
    """What else the config id counts: the generation; of a machine that pulls interval, signers, and reports to the
    store."""
    lines = {GENERATION: str(settings.generation) if settings.generation else ""}
    if settings.pull is not None:
        lines |= {INTERVAL: str(settings.pull.interval), SIGNERS: signers_file(settings.pull)}
        lines |= {REPORTS: STORE if settings.pull.report == STORE else ""}
    return files(*(text_file(path, line + "\n") for path, line in lines.items() if line))


def _completed(args: MachineConfigArgs, config: IgnitionConfig, config_id: str) -> IgnitionConfig:
    """The config with all that the config id doesn't count, and the id itself."""
    settings = args.settings
    added = merged(  # first: a config may be long
        lifecycle_fragment(config, settings.lifecycle),
        rollback_fragment(settings.rollback_after),
        agent_fragment(
            settings,
            machine=args.machine,
            login_user=args.login_user,
            owner=args.owner,
            pointer=pointer(ADDRESS) if ignition_platform(args.platform).oem_pointer else "",
        ),
        files(text_file(STAMP, config_id + "\n")),
    )
    return merged(config, retry_fragment(config), added)


def _check(
    args: MachineConfigArgs, source: _Source, config: IgnitionConfig, masked: IgnitionConfig | None, size: int
) -> None:
    """Hold the config against the rules for configs that run again, and its secrets against what can be tried out."""

    readable = readable_secrets(masked, source.stand_ins)
    pull = args.settings.pull

    def check(config: IgnitionConfig, values: Mapping[str, str]) -> Report:
        return check_rules(
            config,
            args.settings,
            size=size,
            sources=source.texts,
            variables=values,
            platform=args.platform,
            login_user=args.login_user if args.login_user != args.platform_user else None,
            login_key=args.login_key if pull is None or pull.wait == "ssh" else None,
            readable=readable,
            image_version=args.image_version,
        )

    masked_findings = check(masked, source.masked_values) if masked is not None else Report()
    findings, text = source.report(check(config, source.values), masked_findings)
    if findings.is_fatal:
        raise pulumi.RunError(f"{source.name} would do harm when the machine runs it again\n\n{text}")
    warn_once(text)
    if pull is None and args.settings.lifecycle is not Lifecycle.REPLACE:
        return  # neither the state nor the machine shows an id without salt
    for secret in source.stand_ins.values:
        if is_guessable(source.values[secret]):
            warn_once(
                f"the secret {secret!r} is so short that it can be found by trying: for a machine that pulls, or that "
                f"is replaced, the config id of {source.name} is a plain hash of all that is in it; take a longer one"
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
    return names_in("\n".join(line for line in source.splitlines() if not line.lstrip().startswith("#")))


def _refuse_reserved(ignition: IgnitionConfig, name: str) -> None:
    storage = ignition.get("storage", {})
    for kind in ("files", "directories", "links"):
        for node in storage.get(kind, []):
            for ours in (STAMP, GENERATION, SALT, SCRIPT, FOLDER):  # told by our name: the config's may hold secrets
                if node["path"] == ours or (ours == FOLDER and node["path"].startswith(f"{FOLDER}/")):
                    raise pulumi.RunError(f"{name}: {ours} is written by the program itself; take it out of the config")
    for unit in ignition.get("systemd", {}).get("units", []):
        # drop-ins for it may be: an environment for a proxy, say
        if re.fullmatch(OUR_UNITS, unit["name"]) and not {"contents", "enabled", "mask"}.isdisjoint(unit):
            raise pulumi.RunError(f"{name}: the unit {unit['name']} is the program's; write a drop-in at the most")


def _digest(ignition: IgnitionConfig) -> str:
    return hashlib.sha512(_dumped(ignition).encode()).hexdigest()


def _dumped(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
