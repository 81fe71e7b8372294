"""Answers one HTTP request, on stdin and stdout, with a file of a folder: `python3 serve.py FOLDER`.

QEMU starts it for each connection of its guest to `ADDRESS`, an address of the guest's own network (guestfwd): no port
of this computer leads here, so nobody else on it can read a machine's object. Standard library only, and little of
it: it starts while Ignition waits.

QEMU's libslirp joins the two by a connection over loopback, for which it listens some microseconds long: who got in
between could read nothing, but answer in this program's place. The proof finds that: it asks for the SHA-512 of what
Ignition fetched.
"""

import hashlib
import os
import re
import sys

ADDRESS, PORT = "10.0.2.4", 80
"""In QEMU's user network, where 10.0.2.2 is this computer."""
_REQUEST = re.compile(rb"(GET|HEAD) /([A-Za-z0-9][A-Za-z0-9._-]*) HTTP/1\.[01]\r?\n")
_SAME = re.compile(rb"(?i)if-none-match: *(\"[0-9a-f]+\")")
_LONGEST, _MOST = 8192, 100  # a line, and how many


def answer(request: list[bytes], folder: str) -> bytes:
    """What to send: the file's bytes, or why not. 503, which Ignition tries again, where it can't be read just now."""
    asked = _REQUEST.fullmatch(request[0])
    if asked is None:
        return _response(b"400 Bad Request", b"", b"")
    try:
        with open(os.path.join(folder, asked[2].decode("ascii")), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return _response(b"404 Not Found", b"", b"")
    except OSError:
        return _response(b"503 Service Unavailable", b"", b"")
    etag = b'"' + hashlib.sha256(content).hexdigest().encode() + b'"'
    if etag in (known[1] for line in request[1:] if (known := _SAME.match(line))):
        return _response(b"304 Not Modified", etag, b"")
    head = _response(b"200 OK", etag, content)
    return head if asked[1] == b"GET" else head.removesuffix(content)


def _response(status: bytes, etag: bytes, content: bytes) -> bytes:
    headers = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(content), b"Connection: close"]
    return b"\r\n".join([*headers, *([b"ETag: " + etag] if etag else []), b"", content])


def main(folder: str) -> None:
    """Read a request to the end of its headers, and answer it."""
    request: list[bytes] = []
    while len(request) < _MOST and (line := sys.stdin.buffer.readline(_LONGEST)).strip():
        request.append(line)
    if request:
        sys.stdout.buffer.write(answer(request, folder))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
