"""Laws of the Butane dialect: no text makes a traceback, the same input makes the same bytes."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cl.transpiler import transpile
from cl.transpiler.butane.decode import decode
from cl.transpiler.butane.mounts import escape_path
from cl.transpiler.dialect import UnreadableError
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3_config import encode, merge
from cl.transpiler.ignition.v3_json import NotAnIgnitionConfigError, parse, read
from cl.transpiler.report import Findings
from cl.transpiler.yamlnode import YamlError, compose
from tests.support.butane_configs import butane_config, mutate

TEXTS = int(os.environ.get("GENERATED") or 400)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**9))


def test_no_mutated_text_makes_a_traceback() -> None:
    for seed in range(SEED, SEED + TEXTS):
        text = mutate(butane_config(seed), random.Random(seed))
        try:
            result = transpile(text, dialect="butane", variables={"y": "z"} if seed % 2 else None)
            assert (result.json is None) == result.report.is_fatal
            result.report.render()
        except Exception as error:
            raise AssertionError(f"SEED={seed} GENERATED=1: {text}") from error


@settings(max_examples=100)
@given(seed=st.integers(0, 10**9))
def test_same_input_same_bytes(seed: int) -> None:
    text = butane_config(seed)
    assert transpile(text) == transpile(text)


@settings(max_examples=100)
@given(seed=st.integers(0, 10**9))
def test_a_config_is_read_back_from_its_json(seed: int) -> None:
    text = transpile(butane_config(seed)).json
    if text is not None:
        version = json.loads(text)["ignition"]["version"]
        spec = int(version.split(".")[1])
        assert encode(read(parse(text), spec), spec) == json.loads(text)


@settings(max_examples=100)
@given(seed=st.integers(0, 10**9))
def test_merging_over_nothing_or_over_itself_changes_nothing_but_joined_lists(seed: int) -> None:
    text = transpile(butane_config(seed)).json
    if text is None or "ptions" in text or "append" in text or "httpHeaders" in text:
        return
    spec = int(json.loads(text)["ignition"]["version"].split(".")[1])
    config = read(parse(text), spec)
    expected = encode(config, spec)
    assert encode(merge(config, config, spec), spec) == expected
    assert encode(merge(v3.Config(), config, spec), spec) == expected
    assert encode(merge(config, v3.Config(), spec), spec) == expected


@settings(max_examples=100)
@given(seed=st.integers(0, 10**9))
def test_a_config_in_python_is_what_it_is_in_yaml(seed: int) -> None:
    text, unread = butane_config(seed), Findings()
    try:
        config, _ = decode(compose(text), unread)
    except (UnreadableError, YamlError):
        return
    in_yaml, in_python = transpile(text), transpile(config)
    assert in_python.json == in_yaml.json
    told = Counter((entry.severity, entry.message) for entry in in_yaml.report)
    keys = Counter((entry.severity, entry.message) for entry, _ in unread.entries())
    assert Counter((entry.severity, entry.message) for entry in in_python.report) == told - keys


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ignition", "version", "storage", "files", "path", "systemd", "units", "NAME", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(document=JSON)
def test_any_json_may_stand_inline(document: Any) -> None:
    text = json.dumps(document)
    source = f"variant: flatcar\nversion: 1.1.0\nignition: {{config: {{merge: [{{inline: {json.dumps(text)}}}]}}}}\n"
    result = transpile(source)
    assert (result.json is None) == result.report.is_fatal
    try:
        read(parse(text), 4)
    except NotAnIgnitionConfigError:
        assert result.json is None


@given(path=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_escaped_paths_are_unit_names(path: str) -> None:
    escaped = escape_path(path)
    assert escaped
    assert "/" not in escaped
    assert not escaped.startswith(".")
