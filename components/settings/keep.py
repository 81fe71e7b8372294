r"""What a reset keeps: the entries of `keep`, checked, and matched as flatcar-reset and the initramfs match them. Pure.

An entry is a preset's name or an expression over whole paths (`path_expressions`). flatcar-reset (flatcar/init,
bin/flatcar-reset, `generate_regex`) cuts a slash off an entry's end, and adds `/.*` to one that starts with a slash
and does not end with one of `$ ) * ] ?`: such an entry keeps what is below its paths too. Of all entries it makes one
expression for `find -regextype egrep`, which stands in single quotes in a command line, and which find gets again in
the initramfs (flatcar/bootengine, initrd-setup-root). `scripts/keep.sh` asks a machine's own find before it is staged.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from cl.transpiler.report import did_you_mean
from components.settings.path_expressions import (
    ExpressionError,
    expression_problem,
    has_choice_outside_groups,
    matches,
    useless_part,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOST_KEYS = "/etc/ssh/ssh_host_.*"
KEEP_PRESETS: Mapping[str, tuple[str, ...]] = {
    "logs": ("/var/log",),
    "docker": ("/var/lib/docker",),
    "containerd": ("/var/lib/containerd",),
    "extensions": ("/opt/extensions", "/etc/extensions", r"/etc/sysupdate\..*"),
    "flatcar-extensions": ("/etc/flatcar/sysext", "/etc/flatcar/oem-sysext"),
    "hostname": ("/etc/hostname",),
    "home": ("/home",),
}
DEFAULT_KEEP = ("logs",)
MAX_BYTES = 64 << 10
"""Of the expression that all entries make. An argument may be 128 KiB long in Linux; find takes a second for this."""

_UNWIPED = "/.flatcar-unwiped"  # `scripts/staging.sh`: a reset has to delete it
_DOTS = re.compile(r"(?:^|/)(\.\.?)(?:/|$)")


@functools.lru_cache(maxsize=4096)  # asked for a stack's settings, and for each machine again
def keep_problem(entry: str) -> str | None:
    """What is wrong with one entry, and what to write instead, or None."""
    if entry in KEEP_PRESETS:
        return None
    if not entry:
        return "is empty"
    if any(bad in entry for bad in ("'", '"', "\n", "\r", "\0")):
        return "holds a quote, a newline or a NUL"
    if entry.startswith((r"\/", "^/")):
        plain = re.sub(r"(?<!\\)\$$", "", entry[1:])
        return f"does not start with a slash, so it keeps nothing that is below: write {plain!r}"
    if entry[0] not in "/([":
        near = did_you_mean(entry, KEEP_PRESETS, cutoff=0.6)
        hint = f"; {near}" if near else ""
        return f"is no preset ({', '.join(KEEP_PRESETS)}) and does not start with one of / ( [{hint}"
    if entry.startswith("/etc/machine-id"):
        return "can't be kept as a path: the machine id is kept anyway, by the kernel command line"
    expression = entry.removesuffix("/")
    if not expression.strip("/"):
        return "keeps nothing: name the paths to keep, or choose the lifecycle 'flag', which deletes nothing"
    if (dots := _DOTS.search(expression)) is not None:
        return f"has a part {dots[1]!r}, which no path has: write the path without it (for any one character, [^/])"
    return expression_problem(expression) or _useless(expression)


def _useless(expression: str) -> str | None:
    if has_choice_outside_groups(expression):
        return "has a | outside of ( ), where only what is below the last path is kept: write an entry for each path"
    if (part := useless_part(expression)) is not None:
        return f"can match no path from {part!r} on: paths start with one /, have no // and no / at their end" + (
            f"; a folder is kept with all that is in it: write {expression[:-2]!r}"
            if part == "/*" != expression
            else ""
        )
    if _keeps(expression, _UNWIPED):
        return (
            "keeps everything, also what a reset has to delete: name the paths to keep, or choose the lifecycle "
            "'flag', which deletes nothing"
        )
    return None


def keep_problems(entries: Sequence[str]) -> list[str]:
    """What is wrong with a list of entries, each with the entry that it is about."""
    problems = [f"{entry!r} {problem}" for entry in entries if (problem := keep_problem(entry)) is not None]
    size = len(composed(kept_paths(entries)).encode(errors="replace"))
    if not problems and size > MAX_BYTES:
        problems.append(
            f"is too long: its {len(entries)} entries make an expression of {size} bytes, {MAX_BYTES} at the most; "
            "keep folders rather than the files in them"
        )
    return problems


def kept_paths(entries: Sequence[str] | None) -> tuple[str, ...]:
    """The expressions for flatcar-reset: the host keys, then `entries` with presets resolved, each once.

    None, where nobody has set `keep`, is the default.
    """
    expanded = [HOST_KEYS]
    for entry in DEFAULT_KEEP if entries is None else entries:
        expanded.extend(KEEP_PRESETS.get(entry, (entry,)))
    return tuple(dict.fromkeys(expanded))


def composed(expressions: Sequence[str]) -> str:
    """The one expression that flatcar-reset makes of them."""
    parts = [part for expression in expressions for part in _parts(expression)]
    return "(" + "|".join([*parts, "/flatcar-backup", "/flatcar-backup/.*", "/selective-os-reset"]) + ")"


def is_kept(path: str, expressions: Sequence[str]) -> bool:
    """Whether a whole path survives a reset by one of `expressions` (`kept_paths`); what is none keeps nothing."""
    return any(_keeps(expression, path) for expression in expressions)


@functools.lru_cache(maxsize=1 << 16)  # the machines of a fleet keep and write the same paths
def _keeps(expression: str, path: str) -> bool:
    try:
        return any(matches(part, path) for part in _parts(expression))
    except ExpressionError:
        return False


def _parts(expression: str) -> tuple[str, ...]:
    entry = expression.removesuffix("/")
    contents = entry.startswith("/") and entry[-1] not in "$)*]?"
    return (f"{entry}/.*", entry) if contents else (entry,)
