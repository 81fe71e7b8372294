"""Checks of what clouds accept as names, sizes, networks and keys, at preview; no cloud's SDK is imported here.

Each `…_problem` function returns what is wrong with a value as the end of a sentence, or None. Shapes, not existence:
whether a region or a size is on offer is the cloud's own answer, and changes with time.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from components.config.section import Section

CHANNELS = ("stable", "beta", "alpha", "lts")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_VERSION = re.compile(r"\d{3,5}\.\d{1,3}\.\d{1,3}")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?/(tcp|udp)")
_FINGERPRINT = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){15}")
_DO_REGION = re.compile(r"[a-z]{3}[1-9]")
_DO_SIZE = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)+")
_DO_TAG = re.compile(r"[A-Za-z0-9:_-]{1,255}")
_AWS_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")
_AWS_ZONE = re.compile(r"[a-z]{2,4}(-[a-z0-9]+)+-\d[a-z]")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AWS_TYPE = re.compile(r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|metal|\d*xlarge|metal-\d+xl)")
_AWS_ID = re.compile(r"(ami|subnet|vpc|sg|vol|i|eipalloc)-[0-9a-f]{8}(?:[0-9a-f]{9})?")


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


def bucket_problem(name: str) -> str | None:
    """S3's rules for bucket names; without dots, as a name with dots has no valid TLS certificate as a host."""
    if "." in name:
        return f"{name!r} has a dot, and then https to the bucket's own host name fails; use '-'"
    if not _BUCKET.fullmatch(name):
        return f"{name!r} is no bucket's name: 3 to 63 of a-z, 0-9 and '-', neither first nor last a '-'"
    if name.startswith("xn--") or name.endswith(("-s3alias", "--ol-s3")):
        return f"{name!r} is a name that S3 keeps for itself"
    return None


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


def do_region_problem(text: str) -> str | None:
    """A DigitalOcean region's slug."""
    return None if _DO_REGION.fullmatch(text) else f"{text!r} is not a region of DigitalOcean such as fra1 or nyc3"


def do_size_problem(text: str) -> str | None:
    """A droplet size's slug."""
    return None if _DO_SIZE.fullmatch(text) else f"{text!r} is not a droplet size such as s-1vcpu-1gb or c-2"


def do_tag_problem(text: str) -> str | None:
    """A DigitalOcean tag."""
    return None if _DO_TAG.fullmatch(text) else f"{text!r} is no tag: letters, digits, ':', '-' and '_', up to 255"


def do_ssh_key_problem(text: str) -> str | None:
    """The id or MD5 fingerprint of a key that is registered with DigitalOcean, or a public key to register."""
    if text.isascii() and (text.isdecimal() or _FINGERPRINT.fullmatch(text)):
        return None
    if " " in text:
        return public_key_problem(text)
    return f"{text!r} is not a public key, and not the id or MD5 fingerprint (aa:bb:…) of one registered there"


def aws_region_problem(text: str) -> str | None:
    """An AWS region's name."""
    return None if _AWS_REGION.fullmatch(text) else f"{text!r} is not a region of AWS such as eu-central-1"


def aws_zone_problem(text: str) -> str | None:
    """An availability zone's name, or a local zone's."""
    return None if _AWS_ZONE.fullmatch(text) else f"{text!r} is not an availability zone such as eu-central-1a"


def do_vpc_problem(text: str) -> str | None:
    """The id of a VPC of DigitalOcean."""
    return None if _UUID.fullmatch(text) else f"{text!r} is not a VPC's id, a UUID (doctl vpcs list)"


def aws_type_problem(text: str) -> str | None:
    """An EC2 instance type."""
    return None if _AWS_TYPE.fullmatch(text) else f"{text!r} is not an instance type such as t3.small or m7g.large"


def is_arm(instance_type: str) -> bool:
    """Whether an EC2 instance type is of AWS's ARM processors: a `g` behind the generation's number, or `a1`."""
    return re.match(r"(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)[.-]", instance_type) is not None


def aws_id_problem(kind: str) -> Callable[[str], str | None]:
    """A check for ids of one kind (`ami`, `subnet`, …)."""

    def problem(text: str) -> str | None:
        if _AWS_ID.fullmatch(text) and text.startswith(kind + "-"):
            return None
        return f"{text!r} is not an id such as {kind}-0123456789abcdef0"

    return problem


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
