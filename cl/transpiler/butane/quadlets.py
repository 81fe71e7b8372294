"""`systemd.quadlets`: files that podman turns into units."""

from __future__ import annotations

from collections.abc import Sequence

from cl.transpiler.butane import contents, schema
from cl.transpiler.butane.contents import LocalFileError
from cl.transpiler.butane.nodes import TAKEN, Nodes
from cl.transpiler.butane.source_checks import template_of
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.values import clean
from cl.transpiler.report import Path

_ROOTFUL, _ROOTLESS = "/etc/containers/systemd", "/etc/containers/systemd/users"


class Quadlets(Nodes):
    """Adds quadlets to the nodes of a config."""

    def add(self, quadlets: Sequence[schema.Quadlet]) -> None:
        """Add quadlets in their order, each with its drop-ins."""
        self._origins.note(("storage",), ("systemd", "quadlets"))
        for number, quadlet in enumerate(quadlets):
            path = ("systemd", "quadlets", number)
            target = clean(f"{_ROOTFUL if quadlet.rootful else _ROOTLESS}/{quadlet.name}")
            template = template_of(quadlet.name)
            if template is None:
                self._file(quadlet, target, path)
            else:
                self._instance(target, template, path)
            for index, dropin in enumerate(quadlet.dropins):
                self._file(dropin, f"{target}.d/{dropin.name}", (*path, "dropins", index))

    def _instance(self, target: str, template: str, path: Path) -> None:
        if self._exists(target):
            self._fail(path, f"{target}: {TAKEN}")
            return
        index = self._add_link(v3.Link(path=target, target=template), path)
        self._origins.note(("storage", "links", index, "path"), (*path, "name"))

    def _file(self, quadlet: schema.Quadlet | schema.Dropin, target: str, path: Path) -> None:
        if self._exists(target):
            self._fail(path, f"{target}: {TAKEN}")
            return
        index = self._add_file(v3.File(path=target), path)
        self._origins.note(("storage", "files", index, "path"), (*path, "name"))
        where = (*path, "contents_local" if quadlet.contents_local else "contents")
        data = (quadlet.contents or "").encode("utf-8", "surrogateescape")
        if quadlet.contents_local:
            try:
                data = contents.read_local(quadlet.contents_local, self._files_dir)
            except LocalFileError as error:
                self._fail(where, str(error), error.hint)
                return
        self._fill(index, data, 0o644, path)
        given = where if quadlet.contents_local or quadlet.contents else ()
        self._origins.note(("storage", "files", index, "contents", "source"), given)
        self._origins.note(("storage", "files", index, "contents"), given)
