"""Asking a web server that may be in other hands: no redirect is followed, and every answer has an end.

A redirect would lead this computer to addresses that only it can reach, its own services among them. Proxies of the
environment are used, as curl uses them. Standard library only.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request


class NoAnswerError(Exception):
    """There was no answer: the text says why."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would take a login along, to whatever host the answer names."""

    def redirect_request(self, *_: object) -> None:
        """None makes an error of the answer, with its status."""


def get(request: urllib.request.Request, *, seconds: float, most: int = 0) -> tuple[int, bytes]:
    """The status and the first `most` bytes of the answer, within `seconds` in all. Raises `NoAnswerError`."""
    answers: list[tuple[int, bytes]] = []
    reasons: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as answer:
                answers.append((answer.status, answer.read(most) if most else b""))
        except urllib.error.HTTPError as error:
            error.close()
            answers.append((error.code, b""))
        except (OSError, http.client.HTTPException, ValueError) as error:
            reasons.append(str(getattr(error, "reason", "") or error) or type(error).__name__)

    # a server that sends a byte now and then would never run into a time-out of its connection
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    raise NoAnswerError(reasons[0] if reasons else f"no whole answer within {seconds:.0f} s")
