"""Write or delete one object in a local folder: `python -m components.commands.write_object write|delete`.

The JSON document on stdin: {"path": …, "content": …, "private": bool, "written": "2025-01-31T12:00:00Z"}; delete needs
`path` alone. `written` becomes the file's time stamp: a program that sees another time, or other bytes, knows that the
file was changed or lost since. Readers see the old object or the new one, whole (rename within a folder).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path


def write(path: Path, content: str, *, private: bool, written: str) -> None:
    """Put `content` at `path`, mode 0600 when `private`, else 0644; raises OSError, and nothing is changed then."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    time = datetime.fromisoformat(written).timestamp()
    # mkstemp: a name of its own, mode 0600 from the first byte on
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode())
            file.flush()
            os.fchmod(file.fileno(), 0o600 if private else 0o644)
            os.fsync(file.fileno())
        os.utime(temporary, (time, time))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def delete(path: Path) -> None:
    """Remove the object and the folder it leaves empty; harmless when it is gone."""
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        pass  # other objects are in there, or the folder is gone


def main(arguments: list[str]) -> int:
    """Run the command line; see the module's description."""
    if arguments not in (["write"], ["delete"]):
        print("usage: python -m components.commands.write_object write|delete < OBJECT.json", file=sys.stderr)
        return 2
    path = Path()
    try:
        document = json.load(sys.stdin)
        path = Path(document["path"])
        if arguments == ["write"]:
            write(path, document["content"], private=document["private"], written=document["written"])
        else:
            delete(path)
    except OSError as error:
        verb = "written" if arguments == ["write"] else "removed"
        print(f"error: the object {path} can't be {verb}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError, AttributeError):
        # the document may hold secrets: say what is expected, never what came
        print("error: the JSON on stdin needs path, content, private and written", file=sys.stderr)
        return 1
    print(json.dumps({"path": str(path.absolute())}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
