"""What is told to be readable by others: private keys and password hashes, wherever a config holds them."""

from __future__ import annotations

import base64
import gzip

from components.payload.sensitive import sensitive_parts

TEXT = b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
KEY = f"data:;base64,{base64.b64encode(TEXT).decode()}"
PACKED_KEY = f"data:;base64,{base64.b64encode(gzip.compress(TEXT)).decode()}"
DROP_IN = {"name": "c.service", "dropins": [{"name": "10.conf", "contents": "X=-----BEGIN PRIVATE KEY-----"}]}


def test_private_keys_and_password_hashes_are_sensitive() -> None:
    config = {
        "storage": {
            "files": [
                {"path": "/etc/key", "contents": {"source": KEY}},
                {"path": "/etc/motd", "contents": {"source": "data:,hello"}},
                {"path": "/etc/remote", "contents": {"source": "https://example.com/x"}},
                {"path": "/etc/empty"},
                {"path": "/etc/packed", "contents": {"source": PACKED_KEY, "compression": "gzip"}},
                {"path": "/etc/longer", "append": [{"source": "data:,hello"}, {"source": KEY}]},
            ]
        },
        "systemd": {
            "units": [{"name": "a.service", "contents": "X=-----BEGIN PRIVATE KEY-----"}, {"name": "b.mount"}, DROP_IN]
        },
        "passwd": {"users": [{"name": "core", "passwordHash": "$6$x"}, {"name": "b"}]},
    }
    assert sensitive_parts(config, config) == [
        "/etc/key", "/etc/packed", "/etc/longer", "a.service", "c.service", "passwordHash of core",
    ]  # fmt: skip
    assert [name.rpartition(".")[0] for name in sensitive_parts(config, None)] == [
        *3 * ["storage.files"], *2 * ["systemd.units"], "passwordHash of passwd.users",
    ]  # fmt: skip
    assert sensitive_parts({"ignition": {"version": "3.3.0"}}, None) == []
