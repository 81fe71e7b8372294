"""The files, directories and links of a config while more of them are added, by trees and quadlets."""

from __future__ import annotations

import dataclasses
from pathlib import Path as FilePath

from cl.transpiler.butane import contents
from cl.transpiler.butane.origins import Origins
from cl.transpiler.ignition import v3
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import struct_of

TAKEN = "an entry of this config has this path already, with contents or of another kind"


class Nodes:
    """The nodes of a config by path; what is added comes last."""

    def __init__(
        self, storage: v3.Storage, spec: int, files_dir: FilePath | None, findings: Findings, origins: Origins
    ) -> None:
        self._storage, self._spec, self._files_dir = storage, spec, files_dir
        self._findings, self._origins = findings, origins
        self._files, self._links = list(storage.files), list(storage.links)
        self._directories = list(storage.directories)
        self._file_at = {node.path: index for index, node in enumerate(self._files)}
        self._link_at = {node.path: index for index, node in enumerate(self._links)}
        self._directory_at = {node.path: index for index, node in enumerate(self._directories)}

    def storage(self) -> v3.Storage:
        """The storage with what was added."""
        return dataclasses.replace(
            self._storage, files=tuple(self._files), links=tuple(self._links), directories=tuple(self._directories)
        )

    def _exists(self, path: str) -> bool:
        return path in self._file_at or path in self._link_at or path in self._directory_at

    def _fail(self, path: Path, message: str, hint: str | None = None) -> None:
        self._findings.error(path, message, hint=hint)

    def _add_file(self, file: v3.File, source: Path) -> int:
        index = self._file_at[file.path] = len(self._files)
        self._files.append(file)
        self._origins.note_all(struct_of(v3.File, self._spec), file, ("storage", "files", index), source)
        if index == 0:
            self._origins.note(("storage", "files"), source)
        return index

    def _add_link(self, link: v3.Link, source: Path) -> int:
        index = self._link_at[link.path] = len(self._links)
        self._links.append(link)
        self._origins.note_all(struct_of(v3.Link, self._spec), link, ("storage", "links", index), source)
        if index == 0:
            self._origins.note(("storage", "links"), source)
        return index

    def _add_directory(self, directory: v3.Directory, source: Path) -> None:
        index = self._directory_at[directory.path] = len(self._directories)
        self._directories.append(directory)
        where = ("storage", "directories", index)
        self._origins.note_all(struct_of(v3.Directory, self._spec), directory, where, source)
        if index == 0:
            self._origins.note(("storage", "directories"), source)

    def _fill(self, index: int, data: bytes, mode: int, source: Path) -> None:
        """Give the file these contents, and this mode when it has none."""
        file, where = self._files[index], ("storage", "files", index)
        if not file.contents.compression:
            self._origins.note((*where, "contents", "compression"), source)
        url, compression = contents.encode(data, file.contents.compression)
        self._origins.note((*where, "contents", "source"), source)
        self._origins.note((*where, "contents"), source)
        if file.mode is None:
            self._origins.note((*where, "mode"), source)
        filled = dataclasses.replace(file.contents, source=url, compression=compression)
        mode = mode if file.mode is None else file.mode
        self._files[index] = dataclasses.replace(file, contents=filled, mode=mode)
