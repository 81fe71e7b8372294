"""Ignition's own structs and rules, apart from any dialect: what a config has to satisfy to be an Ignition config.

`checks` holds rules that its major versions share (unit text, URLs, data URLs, hashes); `v2` has the structs of
spec 2, `v2_rules` what Ignition checks in them, `convert` the way from spec 2 to spec 3. `v3` has the structs of
spec 3, `v3_checks` and `values` its rules, `v3_config` what is done with whole configs: JSON, duplicates,
merging. May be imported by every dialect; imports nothing of a dialect's own.
"""
