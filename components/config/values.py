"""Checks of what clouds accept as names, sizes, networks and keys, at preview; no cloud's SDK is imported here.

Each `…_problem` function returns what is wrong with a value as the end of a sentence, or None. Shapes, not existence:
whether a region or a size is on offer is the cloud's own answer, and changes with time.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from components.config.section import Section

CHANNELS = ("stable", "beta", "alpha", "lts")

_VERSION = re.compile(r"\d{3,5}\.\d{1,3}\.\d{1,3}")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?/(tcp|udp)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPort:
    """Ports that the cloud's firewall lets in from anywhere: first and last, and the protocol, `tcp` or `udp`."""

    first: int
    last: int
    protocol: str

    @property
    def range(self) -> str:
        """As DigitalOcean writes it: `80` or `8000-8010`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def cidr_problem(text: str) -> str | None:
    """An IPv4 or IPv6 network whose host bits are zero."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return f"{text!r} is not a network such as 203.0.113.0/24"
        return f"{text!r} has host bits set; the network is {network}"
    if "/" not in text:
        return f"{text!r} has no prefix length; a single address is {text}/{128 if ':' in text else 32}"
    return None


def public_key_problem(text: str) -> str | None:
    """An OpenSSH public key of one line whose type is the one inside its base64 part (RFC 4253, 6.6)."""
    words = text.split(" ", 2)
    if "PRIVATE KEY" in text:
        return "is a private key; the public half is wanted (the file that ends in .pub)"
    if "\n" in text or len(words) < 2:
        return "is not an SSH public key of one line (ssh-ed25519 AAAA… comment)"
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return f"{words[0]} {words[1][:12]}… is cut or mistyped: its second word is not base64"
    size = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + size].decode("ascii", "replace") != words[0]:
        return f"says {words[0]!r}, but the key inside is another kind or cut"
    return None


def version_problem(text: str) -> str | None:
    """A Flatcar version, exact: no `current`, which moves."""
    if _VERSION.fullmatch(text):
        return None
    return (
        f"{text!r} is not an exact Flatcar version such as 4459.2.1 (a moving name would replace machines by surprise)"
    )


def checked(
    section: Section, name: str, default: str, problem: Callable[[str], str | None], *, required: bool = False
) -> str:
    """The text called `name`, checked by `problem` unless it is empty."""
    text = section.text(name, default, required=required)
    if text and (wrong := problem(text)) is not None:
        section.problem(name, wrong)
    return text


def checked_list(section: Section, name: str, problem: Callable[[str], str | None]) -> tuple[str, ...]:
    """The list of texts called `name`, each checked by `problem`."""
    texts = section.texts(name)
    for text in texts:
        if (wrong := problem(text)) is not None:
            section.problem(name, wrong)
    return texts


def login_networks(section: Section, name: str) -> tuple[str, ...]:
    """The list called `name` of the networks that may log in, which nobody leaves out by accident."""
    networks = checked_list(section, name, cidr_problem)
    if not networks:
        section.problem(name, "is missing: the networks that may log in, such as [203.0.113.7/32]")
    return networks


def closed_port(port: int, ports: Iterable[OpenPort], setting: str) -> str | None:
    """Why a TCP port is not reached where a firewall lets in SSH and `ports`, which `setting` names; None if it is."""
    if port == 22 or any(one.protocol == "tcp" and one.first <= port <= one.last for one in ports):
        return None
    return f"the firewall does not let it in: add {port}/tcp to {setting}"


def open_ports(section: Section, name: str) -> tuple[OpenPort, ...]:
    """The list called `name` of `80/tcp`, `8000-8010/udp` …"""
    ports = []
    for text in section.texts(name):
        match = _PORT.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 1 <= first <= last <= 65535:
            section.problem(name, f"{text!r} is not a port such as 443/tcp or 60000-61000/udp")
        else:
            ports.append(OpenPort(first=first, last=last, protocol=match[3]))
    return tuple(ports)
