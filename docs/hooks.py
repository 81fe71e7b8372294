"""What the site has beside the documents in this folder: those that lie elsewhere in the project, and the reference.

The reference is made of the schemas: that of a stack's settings, and that of the component package.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

from components.package.provider import FlatcarProvider
from components.settings_schema import settings_schema

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = ("[A-Z]*.md", "[!.]*/README.md", "[!.]*/*/README.md", "bench/results/*.svg")
HOME = "README.md"
LINK = re.compile(r"\[((?:`[^`]*`|[^\]`])*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
SETTINGS = """\
# Settings of a stack

What may stand in a stack's file. `schemas/flatcar.json` tells it to
[editors](../configs.md#in-an-editor-and-in-pull-requests); what the settings of a machine do is told in
[configs](../configs.md#what-can-be-set-for-a-machine).

"""
COMPONENTS = """\
# Components

The [component package](../package.md), in any of Pulumi's languages. Names are those of YAML and TypeScript.

"""


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the documents that lie outside of this folder, and the reference."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            source = path.relative_to(ROOT).as_posix()
            if not source.startswith("docs/"):
                files.append(File.generated(config, _uri(source), abs_src_path=str(path)))
    for name, text in (("settings", SETTINGS + _settings()), ("components", COMPONENTS + _components())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Let links lead to the pages that files of the project have become; what is none is shown without a link."""
    here = page.file.src_uri
    if here.startswith("reference/"):
        return markdown
    folder = posixpath.dirname(_source(here))

    def moved(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        uri = _uri(posixpath.normpath(posixpath.join(folder, target)))
        if files.get_file_from_path(uri) is None:
            return text
        return f"[{text}]({posixpath.relpath(uri, posixpath.dirname(here) or '.')}{anchor})"

    return LINK.sub(moved, markdown)


def _uri(source: str) -> str:
    """Where a file of the project is on the site."""
    return "index.md" if source == HOME else source.removeprefix("docs/")


def _source(uri: str) -> str:
    if uri == "index.md":
        return HOME
    return uri if (ROOT / uri).is_file() else f"docs/{uri}"


def _settings() -> str:
    settings = settings_schema()["properties"]["config"]["properties"]
    return "".join(f"## `{name}`\n{_about(schema)}\n\n{_table(schema)}\n" for name, schema in settings.items())


def _table(schema: dict[str, Any]) -> str:
    lines = [f"| `{path}` | {_kind(inner)} | {_about(inner)} |\n" for path, inner in _keys(schema)]
    return "| key | | |\n|---|---|---|\n" + "".join(lines) if lines else ""


def _keys(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All keys below a schema, whole."""
    named = schema.get("additionalProperties")
    if isinstance(named, dict) and "properties" in named:
        yield from _keys(named, f"{path}NAME.")
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from _keys(inner, f"{path}{name}.")
        yield from _keys(inner.get("items", {}), f"{path}{name}[].")


def _kind(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", [])
    if "enum" in schema:
        words = [f"`{json.dumps(value)}`" for value in schema["enum"] if isinstance(value, bool)]
        words = words or [f"`{value}`" for value in schema["enum"] if value is not None]
    else:
        words = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"][:1]
    default = f", by default `{json.dumps(schema['default'])}`" if "default" in schema else ""
    return " ".join(words).replace("|", "\\|") + default


def _about(schema: dict[str, Any]) -> str:
    return str(schema.get("description", "")).replace("\n", " ").replace("|", "\\|")


def _components() -> str:
    schema = json.loads(FlatcarProvider("0.0.0").schema or "{}")
    parts = []
    for token, component in schema["resources"].items():
        parts.append(f"## {token.rpartition(':')[2]}\n{component['description']}\n\n")
        required = component.get("requiredInputs", [])
        parts.append(_properties("input", component["inputProperties"], required))
        parts.append(_properties("output", component["properties"], ()))
    for token, type_ in schema["types"].items():
        name = token.rpartition(":")[2]
        parts.append(f"## {name} {{ #{name.lower()} }}\n{type_.get('description', '')}\n\n")
        parts.append(_properties("property", type_["properties"], type_.get("required", [])))
    return "".join(parts)


def _properties(title: str, properties: dict[str, Any], required: Any) -> str:
    lines = [
        f"| `{name}`{' (required)' if name in required else ''} | {_type(inner)} | {_about(inner)} |\n"
        for name, inner in properties.items()
    ]
    return f"| {title} | type | |\n|---|---|---|\n" + "".join(lines) + "\n"


def _type(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition(":")[2]
    if name:
        return f"[{name}](#{name.lower()})" if schema["$ref"].startswith("#/") else "any"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        return f"map of {_type(schema.get('additionalProperties', {'type': 'string'}))}"
    return str(schema.get("type", "any"))
