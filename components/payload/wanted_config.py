"""What a machine should be, also when values of its variables are Outputs, known late and perhaps not in a preview.

With plain values everything is known when the machine is declared. With Outputs the config is checked then with words
that stand for them, and made when they are known; a preview that doesn't know them shows the rest of the config.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.output import Unknown

from components.payload.agent import FOLDER
from components.payload.machine_config import OUR_UNITS, SALT, STAMP, MachineConfig, NotYetKnownError, VariableValues
from components.payload.masking import MASK
from components.payload.rollback import SCRIPT
from components.payload.summary import SECTIONS, digests, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.payload.fragments import IgnitionConfig

COMPUTED = "<computed>"
"""What a summary shows for a value that is not known yet."""
OURS = re.compile(rf"({STAMP}|{SALT}|{SCRIPT}|{FOLDER}/.*|(/etc/systemd/system/[^/]*/)?{OUR_UNITS})")
"""What a summary leaves out: this project's own files, links and units, whose settings are shown with the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """The variables of a machine. `own` must all be used; the values of `secrets` are masked, as secret Outputs are."""

    own: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    shared: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)

    def late(self) -> dict[str, pulumi.Output[str]]:
        """Those that are Outputs, by name."""
        values = {**self.shared, **self.secrets, **self.own}
        return {name: value for name, value in values.items() if isinstance(value, pulumi.Output)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedConfig:
    """`MachineConfig` for resources. `salt` is None where nothing secret is used.

    `summary` is what may be shown of it (`summary.summarize`), `digests` what may lie in the state. `masked` is the
    Ignition config without the values of its secrets, as JSON; None where it has none or is salted.
    """

    config_id: pulumi.Input[str]
    unsalted_id: pulumi.Input[str]
    salt: pulumi.Input[str] | None
    text: pulumi.Input[str]
    masked: pulumi.Input[str | None]
    summary: Mapping[str, pulumi.Input[Any]]

    @property
    def digests(self) -> dict[str, pulumi.Input[Any]]:
        """The summary's sections with digests for texts."""
        known = {name: section for name, section in self.summary.items() if not isinstance(section, pulumi.Output)}
        late = {name: section for name, section in self.summary.items() if isinstance(section, pulumi.Output)}
        return {**digests(known), **{name: section.apply(partial(_digests, name)) for name, section in late.items()}}


def known_summary(summary: Mapping[str, pulumi.Input[Any]]) -> pulumi.Output[dict[str, Any]]:
    """A summary once all of it is known. Of what is plain `Output.all` would make Outputs, of each key and value."""
    late = {name: section for name, section in summary.items() if isinstance(section, pulumi.Output)}
    return pulumi.Output.all(*late.values()).apply(lambda known: {**summary, **dict(zip(late, known, strict=True))})


Make = Callable[[VariableValues, str], MachineConfig]
"""`machine_config` with everything given but the variables and the salt."""


def wanted_config(
    make: Make, variables: Variables, salted: Callable[[], pulumi.Output[str]] | None = None
) -> WantedConfig:
    """Make a machine's config. Raises `pulumi.RunError` for what is wrong with it, before any resource is made.

    One that uses secrets, or values that may be, gets what `salted` makes.

    What only an Output's value can show to be wrong is raised when it is known: in a preview if that knows it.
    """
    late = variables.late()
    made = _made(make, variables, dict.fromkeys(late), dict.fromkeys(late, False), "")
    needs_salt = salted is not None and (made is None or made[0].uses_secrets)
    if not late and not needs_salt and made is not None:
        config, summary = made
        return WantedConfig(
            config_id=config.config_id,
            unsalted_id=config.unsalted_id,
            salt=None,
            text=config.text,
            masked=_masked(config),
            summary=summary,
        )
    salt = salted() if needs_salt and salted is not None else pulumi.Output.from_input("")
    given: pulumi.Output[Any] = pulumi.Output.all(salt, *late.values())  # unknown as long as one of them is
    values = {name: value.apply(partial(_value, name), run_with_unknowns=True) for name, value in late.items()}
    secret: dict[str, pulumi.Input[bool]] = {name: value.is_secret() for name, value in late.items()}
    none: pulumi.Output[Any] = pulumi.Output.from_input({})
    now = pulumi.Output.all(
        pulumi.Output.all(**values) if late else none,
        pulumi.Output.all(**secret) if late else none,
        salt.apply(lambda text: "" if isinstance(text, Unknown) else text, run_with_unknowns=True),
    ).apply(lambda known: _made(make, variables, *known))
    complete = pulumi.Output.all(now, given).apply(lambda both: both[0][0])
    shown = pulumi.Output.unsecret(now.apply(lambda made: given if made is None else made[1]))
    return WantedConfig(
        config_id=pulumi.Output.unsecret(complete.apply(lambda config: config.config_id)),
        unsalted_id=made[0].unsalted_id
        if not late and made is not None  # known in each preview: it says whether a machine is replaced
        else pulumi.Output.unsecret(complete.apply(lambda config: config.unsalted_id)),
        salt=salt if needs_salt else None,
        text=complete.apply(lambda config: config.text),
        masked=None if needs_salt else complete.apply(_masked),
        summary={section: shown.apply(partial(_section, section)) for section in SECTIONS},
    )


def _made(
    make: Make, variables: Variables, late: Mapping[str, str | None], is_secret: Mapping[str, bool], salt: str
) -> tuple[MachineConfig, dict[str, Any]] | None:
    """The config and its summary with the values of Outputs, None for one that isn't known; None if it takes them."""
    unknown = {name: _stand_in(name) for name, value in late.items() if value is None}
    texts = {name: value if value is not None else unknown[name] for name, value in late.items()}

    def filled(values: Mapping[str, pulumi.Input[str]]) -> dict[str, str]:
        return {name: value if isinstance(value, str) else texts[name] for name, value in values.items()}

    secrets = filled(variables.secrets) | {name: text for name, text in texts.items() if is_secret[name]}
    try:
        own, shared = filled(variables.own), filled(variables.shared)
        config = make(VariableValues(own=own, shared=shared, secrets=secrets, unknown=unknown), salt)
    except NotYetKnownError:
        return None
    return config, _summary(config, dict.fromkeys(unknown.values(), COMPUTED))


def _summary(config: MachineConfig, shown_as: Mapping[str, str]) -> dict[str, Any]:
    if config.masked is None:
        return {"files": {MASK: "without the values of its secrets this is no config, so none of it is shown"}}
    masks = config.stand_ins.shown_as(dict.fromkeys(config.stand_ins.values, MASK))
    return shown_summary(config.masked, {**masks, **shown_as})


def shown_summary(config: IgnitionConfig, shown_as: Mapping[str, str]) -> dict[str, Any]:
    """`summarize`, without this project's own files, links and units."""
    summary = summarize(config, shown_as)
    for section in ("files", "links", "units"):
        summary[section] = {name: node for name, node in summary.get(section, {}).items() if not OURS.fullmatch(name)}
    return {section: shown for section, shown in summary.items() if shown}


def _masked(config: MachineConfig) -> str | None:
    return json.dumps(config.masked or {}) if config.uses_secrets else None


def _value(name: str, value: object) -> str | None:
    """A variable's value, None when it isn't known. Raises `pulumi.RunError` when it is no text."""
    if isinstance(value, Unknown):
        return None
    if not isinstance(value, str):
        raise pulumi.RunError(f"variable {name!r} is no text but {type(value).__name__}")
    return value


def _stand_in(name: str) -> str:
    """A word that is valid in most places, and found again."""
    return f"unknown-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _digests(name: str, section: Any) -> Any:
    return digests({name: section}).get(name)


def _section(name: str, summary: Mapping[str, Any]) -> Any:
    return summary.get(name)
