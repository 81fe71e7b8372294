"""Who may log in to machines in a cloud, and what a cloud answers: told at preview. No cloud's SDK is imported here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import pulumi

EXAMPLES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
"""Networks that are for documentation alone (RFC 5737, RFC 3849)."""
_HANDED_ON = re.compile(
    r"^invoke of \S+ failed: (invocation of \S+ returned an error: )?(invoking \S+: )?(\d+ errors? occurred:\s*)?(\* )?"
)


def tell_example(setting: str, networks: Sequence[str]) -> None:
    """Warn when who may log in is still an example: nobody has an address in it, and the first `up` would wait."""
    for network in networks:
        if any(_overlap(network, example) for example in EXAMPLES):
            pulumi.log.warn(f"{setting}: {network} is an example's; put your own network there, else ssh is kept out")


def said(error: Exception) -> str:
    """What a cloud answered to an invoke that failed, without the names of all that handed the answer on."""
    return _HANDED_ON.sub("", str(error), count=1).strip()


def _overlap(network: str, example: str) -> bool:
    one, other = ipaddress.ip_network(network), ipaddress.ip_network(example)
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]  # of one version, then
