"""Rules about texts inside an Ignition config that its specs share: units, URLs, data URLs, hashes.

They follow what Ignition itself uses: go-systemd's unit reader, net/url, vincent-petithory/dataurl.
A rule that fails raises CheckError, whose `str()` is the reason.
"""

from __future__ import annotations

import base64
import functools
import re

from cl.transpiler.gotext import SPACE
from cl.transpiler.gourl import UrlError, parse_url, query_values


class CheckError(ValueError):
    """A text that breaks a rule; `str()` says which."""


# --- unit text -----------------------------------------------------------------------------------------------

LINE_MAX = 2048
"""Longest line that systemd reads, in bytes."""

_READ = 4096  # the size of Go's bufio.Reader: decides which long lines the reader notices
_NOT_SPACE = re.compile(f"[^{SPACE}]")
_BLANK = re.compile(f"[{SPACE}]*")
_SECTION_OR_COMMENT = re.compile(r"[\[#;]")
_NAME_END = re.compile(r"[=\r\n]")
_LINE_END = re.compile(r"[\r\n]")
_NOT_SPACE_BYTE = re.compile(
    r"(?!\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)[^\t\n\v\f\r \x80-\xbf]"
)
"""The same in the bytes of UTF-8, as latin-1."""
_CHARACTER = re.compile(r"[\xc0-\xff][\x80-\xbf]*|[\0-\xff]")
"""A character's bytes in UTF-8, as latin-1."""


@functools.lru_cache(maxsize=1024)  # looked at more than once per config, and alike in the configs of a fleet
def unit_sections(text: str) -> tuple[str, ...]:
    """The section of each option in a unit's text, in order; empty when the text holds no option.

    Reads as go-systemd's unit.Deserialize (2019) does: text before the first `[` is skipped, `#` and `;` begin
    comments, a backslash at the end of a line continues it.

    Raises CheckError when a section's bracket isn't closed, something follows it on its line, an option has no
    `=`, or a line is longer than systemd reads.
    """
    if len(text) * 4 >= LINE_MAX and any(len(line) * 4 >= LINE_MAX for line in text.split("\n")):
        # Byte by byte, in latin-1, so that one character is one byte.
        return _Unit(text.encode("utf-8", "surrogateescape").decode("latin-1"), watch=True).sections()
    return _Unit(text, watch=False).sections()


class _Unit:
    """A unit's text and how far it has been read.

    With `watch`, long lines are noticed where Go's reader notices them: it looks at each step, but no further
    than its buffer is filled (`_filled`).
    """

    def __init__(self, text: str, *, watch: bool) -> None:
        self._text, self._watch = text, watch
        self._at, self._filled = 0, 0

    def sections(self) -> tuple[str, ...]:
        found: list[str] = []
        section: str | None = None
        not_space = _NOT_SPACE_BYTE if self._watch else _NOT_SPACE
        while (start := self._next_thing(_SECTION_OR_COMMENT if section is None else not_space)) is not None:
            if start == "[":
                section = self._section_name()
            elif start in "#;":
                self._look()
                while self._line().removesuffix(" ").endswith("\\"):
                    pass
            else:
                self._option()
                found.append(section or "")
        return tuple(found)

    def _look(self) -> None:
        """One step of Go's reader begins: is there a line, in what it has buffered, that is too long?"""
        if not self._watch or self._filled - self._at < LINE_MAX:
            return
        if not _LINE_END.search(self._text, self._at, self._at + LINE_MAX):
            raise CheckError(f"a line is longer than {LINE_MAX} bytes")

    def _read_to(self, end: int, *, by_character: bool) -> None:
        """Move to `end`. Go fills its buffer when it runs out; a search for a delimiter makes room first."""
        if end > self._filled:
            self._filled = (self._filled if by_character else self._at) + _READ
            while self._filled < end:
                self._filled += _READ
            self._filled = min(self._filled, len(self._text))
        self._at = end

    def _next_thing(self, wanted: re.Pattern[str]) -> str | None:
        """Skip to the next character that matters; it is consumed, except when an option's name begins with it."""
        match = wanted.search(self._text, self._at)
        end = match.start() if match else len(self._text)
        if self._watch:
            for character in _CHARACTER.finditer(self._text, self._at, end + (match is not None)):
                self._look()
                self._read_to(character.end(), by_character=True)
        if match is None:
            return None
        self._at = end + 1 if match[0] in "[#;" else end
        return match[0]

    def _section_name(self) -> str:
        self._look()
        end = self._text.find("]", self._at)
        if end < 0:
            raise CheckError("a section's [ has no ] that closes it")
        name = self._text[self._at : end]
        self._read_to(end + 1, by_character=False)
        self._look()
        if not self._is_blank(rest := self._line()):
            raise CheckError(f"{self._shown(rest).strip()!r} follows the section [{self._shown(name)}] on its line")
        return name

    def _shown(self, text: str) -> str:
        """A part of the text as it was given."""
        return text.encode("latin-1").decode("utf-8", "surrogateescape") if self._watch else text

    def _is_blank(self, text: str) -> bool:
        return _BLANK.fullmatch(self._shown(text)) is not None

    def _line(self) -> str:
        """The rest of the line, without its end."""
        end = self._text.find("\n", self._at)
        if end < 0:
            line = self._text[self._at :].removesuffix("\r")
            self._read_to(len(self._text), by_character=False)
            return line
        line = self._text[self._at : end]
        self._read_to(end + 1, by_character=False)
        return line

    def _option(self) -> None:
        self._look()
        match = _NAME_END.search(self._text, self._at)
        if match is None:
            raise CheckError("the last line has no =")
        if match[0] != "=":
            name = self._shown(self._text[self._at : match.start()])
            raise CheckError(f"{name!r} is neither a section nor an option: it has no =")
        self._read_to(match.end(), by_character=True)
        self._look()
        while not self._is_blank(line := self._line()) and line.endswith("\\"):
            self._look()


# --- data URLs -----------------------------------------------------------------------------------------------

_WORD = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]"
_MEDIA_TYPE = re.compile(
    rf"(?:[xX]-{_WORD}*|(?:text|image|audio|video|application|message|multipart){_WORD}*)/{_WORD}*(?=[;,])"
)
_PARAMETER = re.compile(rf';({_WORD}+)=(?:({_WORD}+)|"((?:[\x00-!#-\[\]-\x7f]|\\[\x00-\x7f])*)")(?=[;,])')
_QUOTED = re.compile(
    r"(?:[^\\\n]|\\(?:[abfnrtv\\\"]|[0-3][0-7]{2}|x[0-9A-Fa-f]{2}|u(?![dD][89a-fA-F])[0-9A-Fa-f]{4}"
    r"|U00(?:0(?!0[dD][89a-fA-F])[0-9A-Fa-f]|10)[0-9A-Fa-f]{4}))*"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_DATA = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z_a-z~]")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def decode_data_url(url: str, compression: str | None = None) -> bytes:
    """The bytes in a `data:` URL, decompressed with `compression` "gzip".

    Raises CheckError when it isn't one that Ignition can read.
    """
    if not url.startswith("data:"):
        raise CheckError("a data URL begins with data:")
    at, quoted_is_next = 5, False
    if url[at : at + 1] not in (",", ";"):
        media = _MEDIA_TYPE.match(url, at)
        if media is None:
            raise CheckError("what follows data: is neither a comma nor a media type")
        at = media.end()
    while (parameter := _PARAMETER.match(url, at)) is not None:
        _, value, quoted = parameter.groups()
        if quoted is not None and not _QUOTED.fullmatch(quoted):
            raise CheckError("a quoted parameter of the media type holds a wrong escape")
        if value is not None and not quoted_is_next and _BAD_ESCAPE.search(value):
            raise CheckError("a parameter of the media type holds a % that no two hex digits follow")
        quoted_is_next = quoted == ""  # an empty "" leaves dataurl's reader waiting for a quoted value
        at = parameter.end()
    is_base64 = url.startswith(";base64,", at)
    if not is_base64 and url[at : at + 1] != ",":
        raise CheckError("the comma before the data is missing, or what is before it can't be read")
    data = _decode_base64(url[at + 8 :]) if is_base64 else _decode_escaped(url[at + 1 :])
    return _decompressed(data) if compression == "gzip" else data


def _decompressed(data: bytes) -> bytes:
    import gzip  # few configs need it
    import zlib

    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise CheckError(f"the data can't be decompressed: {error}") from None


def _decode_base64(data: str) -> bytes:
    data = data.replace("\n", "")
    if not _BASE64.fullmatch(data):
        raise CheckError("the data is not base64")
    return base64.b64decode(data)


def _decode_escaped(data: str) -> bytes:
    if bad := _NOT_DATA.search(data):
        raise CheckError(f"{bad[0]!r} belongs escaped in a data URL")
    if _BAD_ESCAPE.search(data):
        raise CheckError("a % in the data is not followed by two hex digits")
    first, *rest = data.encode().split(b"%")
    return first + b"".join(bytes((int(part[:2], 16),)) + part[2:] for part in rest)


_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
_ESCAPED = tuple(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256))


def data_url(data: bytes) -> str:
    """`data` as `ct` writes inline contents: `data:,` and every byte but the unreserved ones escaped."""
    return "data:," + "".join([_ESCAPED[byte] for byte in data])


# --- sources and hashes --------------------------------------------------------------------------------------


def check_source(source: str, schemes: frozenset[str]) -> None:
    """Raises CheckError unless `source` is empty or a URL of one of `schemes`; data URLs must decode too.

    An S3 URL's `versionId`, when there is one, may not be empty.
    """
    if not source:
        return
    try:
        url = parse_url(source)
    except UrlError as error:
        raise CheckError(f"not a URL: {error}") from None
    if url.scheme not in schemes:
        allowed = ", ".join(sorted(schemes))
        raise CheckError(f"the scheme of a URL is one of {allowed}, not {url.scheme!r}")
    if url.scheme == "s3" and query_values(url.query, "versionId")[:1] == [""]:
        raise CheckError("the versionId of an S3 URL is empty")
    if url.scheme == "data":
        decode_data_url(source)


def check_hash(hash_: str, functions: dict[str, int]) -> None:
    """Raises CheckError unless `hash_` is FUNCTION-SUM with as many characters as `functions` says.

    Ignition looks at the length alone, not at whether they are hex digits.
    """
    function, dash, digits = hash_.partition("-")
    if not dash:
        raise CheckError("a hash has the form sha512-HEX")
    if function not in functions:
        raise CheckError(f"the hash function is one of {', '.join(functions)}, not {function!r}")
    if len(digits.encode("utf-8", "surrogateescape")) != functions[function]:
        raise CheckError(f"a {function} sum has {functions[function]} hex digits, not {len(digits)}")
