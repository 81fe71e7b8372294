"""What the documentation shows works."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from cl.transpiler.lint import Rule
from components.settings.stack import read_settings
from toolchain import needs, packages

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "docs" / "configs.md").read_text()
DOCUMENTS = [*sorted(ROOT.glob("[A-Z]*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("[!.]*/README.md"))]


def test_the_config_in_python_is_one() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", CONFIGS, re.DOTALL)
    shown: dict[str, str] = {}
    exec(source, shown)
    config = json.loads(shown["ignition"])
    assert [file["path"] for file in config["storage"]["files"]] == ["/etc/api.env", "/etc/metrics.env"]
    assert config["passwd"]["users"][0]["name"] == "core"


def test_every_rule_is_described() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:error|warning) \|", CONFIGS, re.MULTILINE)) == set(Rule)


def test_the_stack_config_with_snippets_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^((?:    flatcar:.*\n(?:      .*\n)*)+)", CONFIGS, re.MULTILINE)
    values = yaml.safe_load(shown)
    for file in re.findall(r"cl/\S+\.yaml", shown):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    texts = {key: json.dumps(value) for key, value in values.items()}
    settings, problems = read_settings(texts, secret_keys=(), root=tmp_path)
    assert problems == []
    assert settings is not None
    (web,) = settings.machines
    assert [str(path) for path in web.snippets] == ["cl/snippets/users.yaml", "cl/snippets/web.yaml"]


@pytest.mark.parametrize(("document", "most"), [("faults.md", 60), ("trust.md", 14)])
def test_every_row_has_a_test_of_that_name(document: str, most: int) -> None:
    text, _, _ = (ROOT / "docs" / document).read_text().partition("\n## ")
    files = dict(re.findall(r"`(\w)`\s+is\s+`(tests/[\w/]+\.py)`", text))
    name_of_test = re.compile(r"^def test_(\w+)", re.MULTILINE)
    tests = {letter: name_of_test.findall((ROOT / file).read_text()) for letter, file in files.items()}
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= most
    for row in rows:
        assert len(row) == 4, row
        letter = ""
        for mark, name in re.findall(r"\b([A-Z])\b|`([^`\[]+)[^`]*`", row[-1]):
            letter = mark or letter
            pattern = re.compile((name or "…").replace("…", r"\w*"))
            assert any(pattern.fullmatch(test) for test in tests[letter]), (row[0], letter, name)
        assert letter, row


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    files = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in files if not (document.parent / link).exists()] == []


def test_the_files_that_documents_name_are_there() -> None:
    named = {
        (document.name, path)
        for document in DOCUMENTS
        for path in re.findall(
            r"`((?:cl|components|toolchain|tests|bench|loopback|docs|stacks|examples)/[\w./-]+)`", document.read_text()
        )
    }
    assert len(named) > 60
    assert {(name, path) for name, path in named if not (ROOT / path).exists()} == set()


def test_the_devcontainer_names_what_is_there() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    program, argument = container["postCreateCommand"].split()
    assert (ROOT / program).exists() and f'"${{1:-run}}" != {argument}' in (ROOT / program).read_text()
    schemas = container["customizations"]["vscode"]["settings"]["yaml.schemas"]
    for schema, files in schemas.items():
        assert (ROOT / schema).exists() and list(ROOT.glob(files))
    image = (ROOT / ".devcontainer" / container["build"]["dockerfile"]).read_text().split()
    wanted = {*packages.LINT, *packages.SSH_CLIENT, *packages.SSH_SERVER, *packages.RELEASE, *needs.of("").packages}
    assert wanted <= set(image)


def test_the_version_has_notes_for_those_who_upgrade() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changes = (ROOT / "CHANGELOG.md").read_text()
    (notes,) = re.findall(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n\n### Upgrading\n((?:- .*\n)+)", changes, re.MULTILINE
    )
    assert f"v{version}" in notes
