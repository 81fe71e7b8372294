"""Fragments laid over a config: what is added, what is replaced, and that nothing else changes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from cl.transpiler import gojson, transpile
from cl.transpiler.fragments import merged
from cl.transpiler.ignition import v3_config
from cl.transpiler.ignition.v3_json import read
from tests.support.butane_configs import butane_config

pytestmark = pytest.mark.covering

CONFIG: dict[str, Any] = {
    "storage": {
        "links": [{"target": "/t", "path": "/l"}],
        "files": [{"path": "/b", "mode": 420, "contents": {"source": "data:,b"}}, {"path": "/a"}],
    },
    "ignition": {"version": "3.3.0"},
}


def test_new_entries_and_sections_come_last_and_no_key_moves() -> None:
    fragment = {
        "systemd": {"units": [{"name": "x.service"}]},
        "storage": {"files": [{"path": "/0"}], "directories": [{"path": "/d"}]},
    }
    before = json.dumps(CONFIG)
    out = merged(CONFIG, fragment)
    assert json.dumps(out) == json.dumps(
        {
            "storage": {
                "links": [{"target": "/t", "path": "/l"}],
                "files": [*CONFIG["storage"]["files"], {"path": "/0"}],
                "directories": [{"path": "/d"}],
            },
            "ignition": {"version": "3.3.0"},
            "systemd": {"units": [{"name": "x.service"}]},
        }
    )
    assert json.dumps(CONFIG) == before


def test_an_entry_of_the_same_key_is_changed_where_it_stands() -> None:
    fragment = {"storage": {"files": [{"path": "/b", "overwrite": True, "mode": None, "contents": {"source": "c"}}]}}
    files = merged(CONFIG, fragment)["storage"]["files"]
    changed = {"path": "/b", "mode": 420, "contents": {"source": "c"}, "overwrite": True}
    assert json.dumps(files) == json.dumps([changed, {"path": "/a"}])


def test_a_link_takes_the_place_of_a_file() -> None:
    storage = merged(CONFIG, {"storage": {"links": [{"path": "/b", "target": "/x"}]}})["storage"]
    assert storage["files"] == [{"path": "/a"}]
    assert storage["links"] == [{"target": "/t", "path": "/l"}, {"path": "/b", "target": "/x"}]


def test_lists_without_a_key_are_joined() -> None:
    one = {"storage": {"files": [{"path": "/a", "append": [{"source": "data:,a"}]}]}}
    assert merged(one, one, {})["storage"]["files"][0]["append"] == [{"source": "data:,a"}] * 2


def test_a_header_without_a_value_goes() -> None:
    def headers(*entries: dict[str, str]) -> dict[str, Any]:
        return {"ignition": {"config": {"merge": [{"source": "http://a", "httpHeaders": [*entries]}]}}}

    parent = headers({"name": "a", "value": "1"}, {"name": "b", "value": "2"})
    assert merged(parent, headers({"name": "a"})) == headers({"name": "b", "value": "2"})


def test_empty_lists_and_nulls_of_a_config_stay() -> None:
    config = {"ignition": {"version": "3.3.0"}, "storage": {"files": [], "links": None}, "passwd": None}
    assert merged(config, {"storage": {"disks": None}}) == {**config, "storage": {"files": [], "links": None}}


def test_the_merge_is_that_of_snippets() -> None:
    configs: dict[int, list[Any]] = {}
    for seed in range(600):
        if (config := transpile(butane_config(seed)).config) is not None:
            configs.setdefault(int(config["ignition"]["version"].split(".")[1]), []).append(config)
    for spec in (3, 4):
        assert len(configs[spec]) > 20
        for one, other in pairwise(configs[spec]):
            expected = v3_config.encode(v3_config.merge(read(one, spec), read(other, spec), spec), spec)
            assert v3_config.encode(read(merged(one, other), spec), spec) == expected


def test_a_config_is_what_its_json_says() -> None:
    for seed in range(200):
        result = transpile(butane_config(seed))
        if result.json is None:
            assert result.config is None
            continue
        assert result.config == json.loads(result.json)
        assert gojson.dumps(result.config) == result.json


def test_bytes_that_are_no_text_are_replaced_in_the_config_too() -> None:
    result = transpile("systemd:\n  units:\n    - name: a.service\n      contents: !!binary W1VuaXRdCkE9/wo=\n")
    assert result.config == json.loads(result.unwrap())
    assert "\ufffd" in str(result.config)


def test_a_config_is_the_callers_own() -> None:
    text = "variant: flatcar\nversion: 1.1.0\nstorage: {files: [{path: /a}]}\n"
    one = transpile(text)
    assert one.config is not None
    one.config["storage"]["files"].append("x")
    assert transpile(text).config == json.loads(one.unwrap())
