"""Sign a machine's object with a key of the operator's: `python3 -m components.commands.sign`. Standard library only.

Started by a Command of its own, which runs only when what is signed, or who may sign it, changes: an object that did
not change keeps its signature, on whichever computer `pulumi up` runs. Reads {"machine", "address", "config_id",
"sha512", "keys"} as JSON on stdin, prints the signature as the object has it (`Signature.text`) as JSON on stdout.

Signed is `document`: a text that names the machine, the object's address, its config id, the SHA-512 of the object
without signature and checksum, and a counter, which grows with each signature: the time, or one more than the last.
OpenSSH's own format and tool (`ssh-keygen -Y`, PROTOCOL.sshsig). `scripts/pull-object.sh` makes the same document of
what a machine has fetched.

`keys` are public: the private half is looked for in ssh-agent, beside its .pub in ~/.ssh, and in the file that
$FLATCAR_SIGNING_KEY names. So the state names no file of one computer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.environment import PREVIOUS_OUTPUT, for_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMESPACE = "flatcar-config"
PRINCIPAL = "operator"
NO_SIGNATURE = "flatcar-object-signature-0-"
"""Stands in the object where its signature will be."""
KEY_VARIABLE = "FLATCAR_SIGNING_KEY"
NO_SUM = "flatcar-object-sha256-" + "0" * 64
SECONDS_TO_SIGN = 120
"""A security key wants to be touched, and some agents ask."""
_SIGNATURE = re.compile(r"flatcar-object-signature-([0-9]{1,15})-([A-Za-z0-9+/=]*)")
_SUM = re.compile(r"flatcar-object-sha256-[0-9a-f]{64}")
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


class CanNotSignError(Exception):
    """No signature could be made: why, and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a signature says of an object; `sha512` is `digest` of its text."""

    machine: str
    address: str
    config_id: str
    sha512: str

    def document(self, counter: int) -> str:
        """The text that is signed."""
        return f"flatcar-object-v1\n{self.machine}\n{self.address}\n{self.config_id}\n{self.sha512}\n{counter}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`blob` is an SSH signature in base64, on one line."""

    counter: int
    blob: str

    @property
    def text(self) -> str:
        """As it stands in an object, in the place of `NO_SIGNATURE`."""
        return f"flatcar-object-signature-{self.counter}-{self.blob}"


def digest(content: str) -> str:
    """SHA-512 (hex) of an object, be its signature and checksum filled in or not."""
    bare = _SIGNATURE.sub(NO_SIGNATURE, _SUM.sub(NO_SUM, content))
    return hashlib.sha512(bare.encode()).hexdigest()


def allowed_signers(keys: Sequence[str]) -> str:
    """The keys (`TYPE BASE64`) as ssh-keygen's file of allowed signers."""
    return "".join(f'{PRINCIPAL} namespaces="{NAMESPACE}" {key}\n' for key in keys)


def problem(content: str, *, machine: str, address: str, config_id: str, keys: Sequence[str]) -> str:
    """Why an object does not count as signed by one of `keys` for this machine; "" when it does."""
    found = _SIGNATURE.findall(content)
    if len(found) != 1 or not found[0][1]:
        return "it has no signature" if len(found) < 2 else "it has two signatures"
    statement = Statement(machine=machine, address=address, config_id=config_id, sha512=digest(content))
    signature = Signature(counter=int(found[0][0]), blob=found[0][1])
    return "" if _fits(statement, signature, keys) else "its signature does not fit"


def sign(statement: Statement, keys: Sequence[str], *, last: int) -> Signature:
    """Sign with the first of `keys` whose private half is here; the counter is above `last`.

    Raises `CanNotSignError`.
    """
    counter = max(int(time.time()), last + 1)
    why: list[str] = []
    for key in keys:
        with tempfile.TemporaryDirectory(prefix="sign-") as folder:
            for file in _candidates(key, Path(folder)):
                signature = _signed(statement, counter, file, why)
                if signature is not None and _fits(statement, signature, [key]):
                    return signature
    raise CanNotSignError(
        "the object can't be signed: no private key of " + ", ".join(map(fingerprint, keys)) + " can be used here"
        f" (looked in ssh-agent, in ~/.ssh, and at ${KEY_VARIABLE}" + "".join(f"; {text}" for text in why) + ")\n"
        f"nothing was written; add the key to ssh-agent, or name its file in ${KEY_VARIABLE}, and run 'pulumi up' again"
    )


def fingerprint(key: str) -> str:
    """As ssh-keygen shows a public key."""
    return [*_keygen("-l", "-f", "-", said=key).stdout.split(), "", "an unreadable key"][1]


def _candidates(key: str, folder: Path) -> Iterator[Path]:
    """Files that ssh-keygen may sign with: a public key leads it to ssh-agent, or to the private one beside it."""
    public = folder / "key"
    public.write_text(key + "\n", encoding="utf-8")
    yield public
    for file in sorted((Path.home() / ".ssh").glob("*.pub")):
        try:
            if file.read_text(encoding="utf-8").split()[:2] == key.split():
                yield file
        except (OSError, UnicodeDecodeError):
            continue
    if named := os.environ.get(KEY_VARIABLE):
        yield Path(named).expanduser()


def _signed(statement: Statement, counter: int, file: Path, why: list[str]) -> Signature | None:
    """None when this file's key can't sign; what ssh-keygen says of a file that is there goes to `why`."""
    try:
        done = _keygen("-q", "-Y", "sign", "-f", str(file), "-n", NAMESPACE, said=statement.document(counter))
    except subprocess.TimeoutExpired:
        why.append(f"{file.name} did not sign within {SECONDS_TO_SIGN} s")
        return None
    lines = done.stdout.split("\n")
    if done.returncode or _BEGIN not in lines or _END not in lines:
        said = done.stderr.strip().splitlines()
        if file.name != "key" and said:
            why.append(f"{file}: {said[-1].removeprefix('Enter passphrase: ')}")
        return None
    return Signature(counter=counter, blob="".join(lines[lines.index(_BEGIN) + 1 : lines.index(_END)]))


def _fits(statement: Statement, signature: Signature, keys: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory(prefix="sign-") as name:
        folder = Path(name)
        (folder / "signers").write_text(allowed_signers(keys), encoding="utf-8")
        (folder / "signature").write_text(f"{_BEGIN}\n{signature.blob}\n{_END}\n", encoding="utf-8")
        files = ("-f", str(folder / "signers"), "-s", str(folder / "signature"))
        who = ("-I", PRINCIPAL, "-n", NAMESPACE)
        done = _keygen("-Y", "verify", *files, *who, said=statement.document(signature.counter))
    return done.returncode == 0


def _keygen(*arguments: str, said: str) -> subprocess.CompletedProcess[str]:
    """Raises subprocess.TimeoutExpired, and FileNotFoundError where there is no ssh-keygen."""
    return subprocess.run(
        ["ssh-keygen", *arguments],
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_TO_SIGN,
        env={**for_child(), "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
        start_new_session=True,  # without a terminal: it must not ask for a passphrase there, and wait
    )


def _last_counter(printed: str) -> int:
    """The counter of this object's last signature, by what was printed then; 0 where there was none."""
    found = _SIGNATURE.search(printed)
    return int(found[1]) if found else 0


def main() -> int:
    """Sign what stdin says. Exit codes: 0 signed, 1 not signed, 2 not a request."""
    try:
        document = json.load(sys.stdin)
        keys = tuple(document.pop("keys"))
        statement = Statement(**document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"sign: stdin is not a request: {type(error).__name__}", file=sys.stderr)
        return 2
    try:
        signature = sign(statement, keys, last=_last_counter(os.environ.get(PREVIOUS_OUTPUT, "")))
    except CanNotSignError as error:
        print(f"{statement.machine}: {error}", file=sys.stderr)
        return 1
    except FileNotFoundError:
        print(f"{statement.machine}: there is no ssh-keygen here: install OpenSSH's client", file=sys.stderr)
        return 1
    print(signature.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
