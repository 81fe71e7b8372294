"""URLs as Go's net/url reads and prints them, with its strictness and its escaping.

`ct`, `butane` and Ignition check sources with it, and `ct` prints remote sources back through it.
Source of the rules: Go 1.26, src/net/url/url.go, with `urlstrictcolons=0`: a host may hold colons in programs whose
module asks for an older Go, as theirs do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SEGMENT = frozenset((_ALNUM + "$&+-.:=@_~").encode())
_PATH = frozenset((_ALNUM + "$&+,-./:;=@_~").encode())
_FRAGMENT = frozenset((_ALNUM + "!$&()*+,-./:;=?@_~").encode())
_USER = frozenset((_ALNUM + "$&+,-.;=_~").encode())
_HOST = frozenset((_ALNUM + "!\"$&'()*+,-.:;<=>[]_~").encode())
_LEFT_ALONE = frozenset(b"!$&'()*+,;=:@[]%")
"""What a path or fragment may hold in its source form besides what escaping would leave alone."""

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_PORT = re.compile(r"(?::[0-9]*)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class UrlError(ValueError):
    """The text is not a URL; `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A parsed URL. `text` is what Go prints for it; `query` is the part after `?` as it stood."""

    scheme: str
    query: str
    text: str


def parse_url(source: str) -> Url:
    """`source` as Go's url.Parse reads it. Raises UrlError where url.Parse gives an error."""
    rest, _, fragment = source.partition("#")
    if _CONTROL.search(rest):
        raise UrlError("a URL holds no control characters")
    shown_fragment = f"#{_shown(fragment, _FRAGMENT)}" if fragment else ""
    if rest == "*":
        return Url(scheme="", query="", text="*" + shown_fragment)
    if rest.startswith(":"):
        raise UrlError("the scheme before the first colon is missing")
    match = _SCHEME.match(rest)
    scheme = match[0][:-1].lower() if match else ""
    rest = rest[match.end() :] if match else rest
    rest, mark, query = rest.partition("?")
    tail = mark + query + shown_fragment
    head = f"{scheme}:" if scheme else ""
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme=scheme, query=query, text=head + rest + tail)
        if ":" in rest.partition("/")[0]:
            raise UrlError("the first part of a relative URL holds no colon")
        path = _path(rest)
        head = "./" if ":" in path.partition("/")[0] else ""
        return Url(scheme="", query=query, text=head + path + tail)
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        host = _authority(authority)
        path = _path(slash + path)
        head += f"//{host}" if host or path else ""
    else:
        path = _path(rest)
    return Url(scheme=scheme, query=query, text=head + path + tail)


def query_values(query: str, name: str) -> list[str]:
    """The values of `name` in a query, as Go's URL.Query gives them: pairs that don't decode are left out."""
    values = []
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if ";" in pair or _BAD_ESCAPE.search(pair) or not pair:
            continue
        if _unescape(key.replace("+", " ")) == name.encode():
            values.append(_unescape(value.replace("+", " ")).decode("utf-8", "surrogateescape"))
    return values


def escape_path_segment(text: str) -> str:
    """Go's url.PathEscape."""
    return _escape(_bytes(text), _SEGMENT)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unescape(text: str) -> bytes:
    if bad := _BAD_ESCAPE.search(text):
        raise UrlError(f"{text[bad.start() : bad.start() + 3]!r} is not an escape of the form %41")
    first, *rest = _bytes(text).split(b"%")
    return first + b"".join(bytes((int(part[:2], 16),)) + part[2:] for part in rest)


def _escape(data: bytes, plain: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in data)


def _shown(text: str, plain: frozenset[int]) -> str:
    """A path or fragment as it stood, where that is a valid spelling of it, else escaped anew."""
    value = _unescape(text)
    if all(byte in plain or byte in _LEFT_ALONE for byte in _bytes(text)):
        return text
    return _escape(value, plain)


def _path(text: str) -> str:
    return "*" if text == "%2A" else _shown(text, _PATH)


def _authority(authority: str) -> str:
    user, at, host = authority.rpartition("@")
    shown = _host(host)
    if not at:
        return shown
    if not _USERINFO.fullmatch(user):
        raise UrlError("the part before the @ holds a character that belongs escaped")
    name, colon, password = user.partition(":")
    return _escape(_unescape(name), _USER) + colon + _escape(_unescape(password), _USER) + "@" + shown


def _host(host: str) -> str:
    bracket = host.rfind("[")
    if bracket > 0:
        raise UrlError("a bracket opens an IPv6 address and comes first in a host")
    if bracket == 0:
        return _ipv6(host)
    colon = host.rfind(":")
    if colon >= 0:
        _check_port(host[colon:])
    return _escape(_unescape_host(host), _HOST)


def _check_port(port: str) -> None:
    if not _PORT.fullmatch(port):
        raise UrlError(f"{port!r} after the host is not a port number")


def _ipv6(host: str) -> str:
    end = host.rfind("]")
    if end < 0:
        raise UrlError("the bracket of an IPv6 address is not closed")
    port = host[end + 1 :]
    _check_port(port)
    address, percent, zone = host[1:end].partition("%25")
    name = _unescape_host(address) + _unescape_zone(percent + zone)
    try:
        text, mark, scope = name.decode("utf-8", "surrogateescape").partition("%")
        if mark and not scope:
            raise AddressValueError("empty zone")
        IPv6Address(text)
    except AddressValueError:
        raise UrlError(f"{host[1:end]!r} is not an IPv6 address") from None
    return _escape(b"[" + name + b"]" + _bytes(port), _HOST)


def _unescape_host(text: str) -> bytes:
    for escape in re.findall("%(..)", text):
        if escape[0] in "01234567" and escape != "25":
            raise UrlError(f"'%{escape}' is not allowed in a host")
    _only_host_characters(text)
    return _unescape(text)


def _unescape_zone(text: str) -> bytes:
    value = _unescape(text)
    _only_host_characters(text)
    for escape in re.findall("%(..)", text):
        if escape != "25" and escape != "20" and int(escape, 16) not in _HOST:
            raise UrlError(f"'%{escape}' is not allowed in a zone")
    return value


def _only_host_characters(text: str) -> None:
    for byte in _bytes(text):
        if byte < 0x80 and byte not in _HOST and byte != 0x25:
            raise UrlError(f"{chr(byte)!r} is not allowed in a host")


def without_secrets(url: str) -> str:
    """A URL to show: without name and password, its query as …; only … when it can't be read as one."""
    from urllib.parse import urlsplit, urlunsplit  # Python's: what is shown need not be valid

    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    return urlunsplit(parts._replace(query="…" if parts.query else "", netloc=parts.netloc.rpartition("@")[2]))
