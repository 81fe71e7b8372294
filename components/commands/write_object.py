"""Write or delete one object in a local folder: `python -m components.commands.write_object write|delete`.

The JSON document on stdin: {"path": …, "file": …, "sha512": …, "written": "2025-01-31T12:00:00.000000Z"}; delete needs
`path` alone. `file` has the content, which counts if it has this hash; it is removed then. `written` becomes the
object's time stamp, so that whoever plans the next write knows which one this was; left out, it is `time_of_write`,
which is printed. Readers see the old object or the new one, whole (rename within a folder). The mode is 0600: a config
may hold secrets. What is replaced stays for a while, beside the folders of all objects, where no machine is served
anything (`versions_folder`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.commands.files import write_atomically
from components.commands.objects.content_file import forget, read

MOST_VERSIONS = 8
"""How many replaced contents of an object are kept."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of_write(path: Path, sha512: str) -> str:
    """Return when `path` got the content with this hash (its time stamp), or the time now when it has not got it.

    UTC with microseconds: 2025-01-31T12:00:00.000000Z. Reads only.
    """
    try:
        modified = path.stat().st_mtime_ns // 1000
    except OSError:
        modified = 0
    same = read(path, sha512) is not None
    time = _EPOCH + timedelta(microseconds=modified) if same else datetime.now(UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def versions_folder(path: Path) -> Path:
    """Where the former contents of the object at `path` lie, the last ones, with the time of their write as names."""
    return path.parent.parent / ".versions" / path.parent.name


def versions(path: Path) -> list[Path]:
    """The files there, newest first."""
    return sorted(versions_folder(path).glob("*.ign"), reverse=True)


def write(path: Path, content: str, *, written: str) -> None:
    """Put `content` at `path`; raises OSError or ValueError, and nothing is changed then."""
    time_ns = (datetime.fromisoformat(written) - _EPOCH) // timedelta(microseconds=1) * 1000
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def ready(temporary: Path) -> None:
        os.utime(temporary, ns=(time_ns, time_ns))
        _keep(path, content)

    write_atomically(path, content, ready=ready)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep(path: Path, content: str) -> None:
    """What is about to be replaced becomes a version; nothing where it is not there, or the same."""
    if not path.is_file() or path.read_bytes() == content.encode():
        return
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    folder = versions_folder(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"{written}.ign"
    kept.unlink(missing_ok=True)
    kept.hardlink_to(path)
    for older in versions(path)[MOST_VERSIONS:]:
        older.unlink()


def delete(path: Path) -> None:
    """Remove the object and its versions, its folder and the store's when they are empty; harmless when it is gone."""
    path.unlink(missing_ok=True)
    kept = versions_folder(path)
    for version in versions(path):
        version.unlink()
    for folder in (kept, kept.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()
    for folder in (path.parent, path.parent.parent):
        try:
            folder.rmdir()
        except OSError:
            break  # other objects are in there, or the folder is gone


def main() -> int:
    """Run the command line; see the module's description."""
    arguments = sys.argv[1:]
    if arguments not in (["write"], ["delete"]):
        print("usage: python -m components.commands.write_object write|delete < OBJECT.json", file=sys.stderr)
        return 2
    path = Path()
    try:
        document = json.load(sys.stdin)
        path = Path(document["path"])
        said = {"path": str(path.absolute())}
        if "written" not in document:
            document["written"] = said["written"] = time_of_write(path, document.get("sha512", ""))
        if arguments == ["write"]:
            content = read(Path(document["file"]), document["sha512"])
            if content is None:
                raise FileNotFoundError(f"{document['file']}, which holds the text, is not as it was written")
            write(path, content, written=document["written"])
        else:
            delete(path)
        if "file" in document:
            forget(Path(document["file"]))
    except OSError as error:
        verb = "written" if arguments == ["write"] else "removed"
        print(f"error: the object {path} can't be {verb}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError, AttributeError):
        # the document may hold secrets: say what is expected, never what came
        print("error: the JSON on stdin needs path, file, sha512 and written", file=sys.stderr)
        return 1
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
