"""The last report of each machine that reports to its store (`pull: {report: store}`), read from there side by side."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.commands.objects.bucket import BucketWriter
from components.commands.objects.folder import NoAccessError
from components.commands.reprovision.pulling import STATES, STORE, read_report
from components.commands.untrusted import config_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.commands.objects.aws_signature import Credentials

AT_ONCE = 32
"""How many are read at a time."""
PAUSES_S = (1.0,)
"""One in thousands that is not answered is asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a machine last said of itself, about the config `config_id`; `at` is when (Unix time, by the store's clock).

    `state` is one of `pulling.STATES`, "" where it has said nothing, or nothing that can be read. Texts are bounded and
    printable. `trouble` is why its report could not be read, "" when it was.
    """

    state: str = ""
    config_id: str = ""
    running: str = ""
    why: str = ""
    os_version: str = ""
    at: float | None = None
    trouble: str = ""


def place_of_reports(machine: Mapping[str, Any], stdin: object) -> BucketWriter | None:
    """Where a machine reports to, by the inputs of its component and its Command's stdin; None for any other."""
    pull = machine.get("pull")
    if not isinstance(pull, dict) or pull.get("report") != STORE or not isinstance(stdin, str):
        return None
    try:
        request = json.loads(stdin)
        return BucketWriter(**request["place"]).of_reports(request["machine"])
    except (ValueError, KeyError, TypeError):
        return None


def read_reports(places: Mapping[str, BucketWriter]) -> dict[str, Reported]:
    """What lies at each of the machines' places."""
    opened: dict[str, Credentials | str] = {}
    for place in places.values():
        if place.profile not in opened:  # asking for them may start a program
            try:
                opened[place.profile] = place.credentials()
            except NoAccessError as error:
                opened[place.profile] = str(error)

    def read(place: BucketWriter) -> Reported:
        credentials = opened[place.profile]
        if isinstance(credentials, str):
            return Reported(trouble=credentials)
        try:
            return _reported(*place.read_report(credentials, PAUSES_S))
        except FileNotFoundError:
            return Reported()
        except (NoAccessError, OSError) as error:
            return Reported(trouble=str(error))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(zip(places, threads.map(read, places.values()), strict=True))


def _reported(text: bytes, at: float) -> Reported:
    said = read_report(text.decode("utf-8", "replace"))
    if said.get("state") not in STATES:
        return Reported()
    return Reported(
        state=said["state"],
        config_id=config_id(said["config_id"]),
        running=config_id(said["running"]),
        why=said["why"],
        os_version=said["os_version"],
        at=at or None,
    )
