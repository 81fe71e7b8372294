"""`storage.trees`: whole directories of the files dir, as files and links of the config."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Sequence
from pathlib import Path as FilePath

from cl.transpiler.butane import contents, schema
from cl.transpiler.butane.contents import LocalFileError, describe_os_error
from cl.transpiler.butane.nodes import TAKEN, Nodes
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.values import clean
from cl.transpiler.report import Path


class Trees(Nodes):
    """Adds trees to the nodes of a config. All that goes wrong is reported, at the tree."""

    def add(self, trees: Sequence[schema.Tree]) -> None:
        """Add trees in their order."""
        for index, tree in enumerate(trees):
            path = ("storage", "trees", index)
            try:
                root = contents.find_local(tree.local, self._files_dir)
                is_directory = stat.S_ISDIR(os.stat(root).st_mode)
            except LocalFileError as error:
                self._fail(path, str(error), error.hint)
                if self._files_dir is None:
                    return
            except (OSError, ValueError) as error:
                self._fail(path, describe_os_error(root, error))
            else:
                if is_directory:
                    self._walk(tree, root, tree.path or "/", path)
                else:
                    self._fail(path, "the root of a tree is a directory")

    def _walk(self, tree: schema.Tree, local: FilePath, target: str, path: Path) -> None:
        """Add what is at `local`, as `target`, and beneath; in the order of names, as bytes."""
        try:
            status = os.lstat(local)
            names = sorted(os.listdir(local), key=os.fsencode) if stat.S_ISDIR(status.st_mode) else []
            leads_to = os.readlink(local) if stat.S_ISLNK(status.st_mode) else ""
        except OSError as error:
            self._fail(path, describe_os_error(local, error))
            return
        if stat.S_ISDIR(status.st_mode):
            self._directory(tree, clean(target), path)
            for name in names:
                self._walk(tree, local / name, f"{target}/{name}", path)
        elif stat.S_ISREG(status.st_mode):
            self._regular(tree, local, clean(target), status.st_mode, path)
        elif stat.S_ISLNK(status.st_mode):
            self._link(tree, leads_to, clean(target), path)
        else:
            self._fail(path, f"{local}: a tree holds files, directories and links only")

    def _directory(self, tree: schema.Tree, target: str, path: Path) -> None:
        """Directories are written only where the tree says something about them."""
        owners = (tree.user, tree.group)
        if tree.dir_mode is None and all(owner.id is None and owner.name is None for owner in owners):
            return
        if self._exists(target):
            self._fail(path, f"{target}: {TAKEN}")
            return
        mode = 0o755 if tree.dir_mode is None else tree.dir_mode
        self._add_directory(v3.Directory(path=target, user=tree.user, group=tree.group, mode=mode), path)

    def _regular(self, tree: schema.Tree, local: FilePath, target: str, bits: int, path: Path) -> None:
        index = self._file_at.get(target)
        if self._files[index].contents.source if index is not None else self._exists(target):
            self._fail(path, f"{target}: {TAKEN}")
            return
        if index is None:
            index = self._add_file(v3.File(path=target, user=tree.user, group=tree.group), path)
        try:
            data = local.read_bytes()
        except OSError as error:
            self._fail(path, describe_os_error(local, error))
            return
        mode = tree.file_mode if tree.file_mode is not None else 0o755 if bits & 0o111 else 0o644
        self._fill(index, data, mode, path)

    def _link(self, tree: schema.Tree, leads_to: str, target: str, path: Path) -> None:
        index = self._link_at.get(target)
        if self._links[index].target if index is not None else self._exists(target):
            self._fail(path, f"{target}: {TAKEN}")
            return
        if index is None:
            index = self._add_link(v3.Link(path=target, user=tree.user, group=tree.group), path)
        self._links[index] = dataclasses.replace(self._links[index], target=leads_to)
        self._origins.note(("storage", "links", index, "target"), path)
