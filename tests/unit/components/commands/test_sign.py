"""Who signs, and what a signature holds; that machines take signed objects alone is in tests/engine."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from components.commands.sign import (
    KEY_VARIABLE,
    NO_SIGNATURE,
    NO_SUM,
    CanNotSignError,
    Statement,
    digest,
    problem,
    sign,
)
from tests.support.keys import new_key

STATEMENT = Statement(machine="web", address="https://configs/web.ign", config_id="a" * 128, sha512="b" * 128)


def test_without_a_key_nothing_is_signed_and_the_way_out_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(tmp_path / "elsewhere")
    with pytest.raises(CanNotSignError, match=r"no private key of SHA256:\S+ can be used here.*\n.*ssh-agent"):
        sign(STATEMENT, [key], last=0)
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "elsewhere"))
    assert abs(sign(STATEMENT, [key], last=0).counter - time.time()) < 60
    assert sign(STATEMENT, [key], last=1 << 40).counter == (1 << 40) + 1, "a clock that was set back changes no order"
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "locked"))
    with pytest.raises(CanNotSignError, match=r"locked.*passphrase"):
        sign(STATEMENT, [new_key(tmp_path / "locked", "hunter2")], last=0)


def test_the_first_signer_whose_key_is_here_signs(home: Path, tmp_path: Path) -> None:
    here, away = new_key(home / ".ssh/here"), new_key(tmp_path / "away")
    text = f"x {NO_SIGNATURE} {NO_SUM}"
    statement = replace(STATEMENT, sha512=digest(text))
    content = text.replace(NO_SIGNATURE, sign(statement, [away, here], last=0).text)
    place = {"machine": "web", "address": STATEMENT.address, "config_id": STATEMENT.config_id}
    assert problem(content, **place, keys=[away, here]) == ""
    assert problem(content, **place, keys=[away]) == "its signature does not fit"
    assert problem(content.replace("x ", "y "), **place, keys=[here]) == "its signature does not fit"
    assert problem(content, **{**place, "machine": "db"}, keys=[here]) == "its signature does not fit"
    assert problem(text, **place, keys=[here]) == "it has no signature"
