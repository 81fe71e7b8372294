"""Store: a folder on this computer, which QEMU serves to its guest. For the `Qemu` platform alone.

Each machine has a folder of its own in it and is served nothing else, so one machine can't read another's config.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi_command import local

from components.commands.objects.content import Content
from components.commands.qemu import serve
from components.commands.qemu.state import POINTER
from components.commands.write_object import time_of_write
from components.launcher import interpreter
from components.stores import StoredObject, content_path, local_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.stores import Text

OBJECT = "config.ign"
HTTP_URL = f"http://{serve.ADDRESS}/{OBJECT}"
"""The same for every machine. Ignition asks again until it is answered; a file by TFTP it asks for a few times only."""
TFTP_URL = f"tftp://10.0.2.2/{OBJECT}"
"""Of machines that were made before there was the other one: a pointer never changes."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFolder:
    """Objects lie at `directory`/NAME/config.ign, mode 0600: QEMU reads them as the same user."""

    directory: Path
    """Relative to the project's folder or absolute; give the `Qemu` platform the same one as its `objects`."""
    machines: Path | None = None
    """The `Qemu` platform's `directory`, for objects over HTTP; None serves all of them over TFTP."""
    served: bool = True
    """Whether machines read the files. Where they don't, a file that this computer lacks is not missed: another one may
    have written it, and the time of the last write is known from Pulumi's state."""

    def secrets_problem(self, secrets: Sequence[str]) -> str | None:
        """Never: the folder is this user's alone."""
        return None

    def put(self, name: str, text: Text, opts: pulumi.ResourceOptions | None = None) -> StoredObject:
        """Declare the object of the machine `name`; see `Store.put`.

        The resource is called NAME-object, so that the machine's own can be called NAME.
        A served object that was deleted or edited behind Pulumi's back is written again by the next `pulumi up`.
        Raises `pulumi.RunError` for a name that is no file name.
        """
        if not _NAME.fullmatch(name):
            raise pulumi.RunError(f"{name!r} can't name an object: letters, digits and . _ - after a letter or digit")
        path = self.directory / name / OBJECT

        def document(content: Content) -> str:
            time = {"written": time_of_write(path, content.sha512)} if self.served else {}
            file = str(content_path(name, content.sha512))
            return json.dumps({"path": str(path), **time, "file": file, "sha512": content.sha512})

        source_url = pulumi.Output.from_input(self._source_url(name))
        stdin = local_content(name, text(source_url)).apply(document)
        written = local.Command(
            f"{name}-object",
            create="write_object write",
            delete="write_object delete",
            interpreter=interpreter(),
            stdin=stdin,
            triggers=[str(path)],
            logging=local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(delete_before_replace=True), opts),
        )
        said = stdin if self.served else written.stdout
        version = said.apply(lambda text: str(json.loads(text)["written"]))
        place = version.apply(lambda written: {"path": str(path), "written": written})
        return StoredObject(source_url=source_url, version=version, resource=written, place=place)

    def _source_url(self, name: str) -> str:
        if self.machines is None:
            return TFTP_URL
        try:
            user_data = (self.machines / name / POINTER).read_text(encoding="utf-8")
        except OSError:
            return HTTP_URL  # it is still to be made
        return TFTP_URL if TFTP_URL in user_data else HTTP_URL
