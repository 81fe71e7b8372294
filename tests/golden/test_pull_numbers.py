"""The numbers in docs/pull.md are those that the simulation gives."""

from __future__ import annotations

from bench.pull_fleet import DOCUMENT, filled, table


def test_the_document_has_the_simulations_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, table()) == text, "python -m bench.pull_fleet --write"
