"""The machines of a stack as one page for a browser: one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from components.operate.status import State, document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.operate.status import Status

_HERE = Path(__file__).parent


def page(stack: str, found: Sequence[Status], declares: Mapping[str, Mapping[str, str]], now: float) -> str:
    """The page. `declares` has what each machine's config declares, with a hash: which differ is shown, no hash.

    Machines have a part in the data: in the page it is JSON without a `<`, of which the script makes text, never
    markup. The policy lets no other script run, and nothing be asked for.
    """
    style, script = ((_HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    paths, hashes = dict[str, int](), dict[str, int]()
    data = document(stack, found, now)
    for machine in data["machines"]:
        machine["declares"] = [
            number
            for path, digest in declares[machine["name"]].items()
            for number in (paths.setdefault(path, len(paths)), hashes.setdefault(digest, len(hashes)))
        ]
    data |= {"states": list(State), "paths": list(paths)}
    text = json.dumps(data, separators=(",", ":"))  # ASCII
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    parts = {
        "POLICY": f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:",
        "TITLE": html.escape(f"Machines of {stack}"),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": text,
    }
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda part: parts[part[1]], template)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
