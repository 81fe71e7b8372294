"""Asking a web server that may be in other hands: no redirect is followed, and every answer has an end.

A redirect would lead this computer to addresses that only it can reach, its own services among them. Proxies of the
environment are used, as curl uses them. Standard library only.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping


class NoAnswerError(Exception):
    """There was no answer: the text says why."""


def get(url: str, *, seconds: float, most: int = 0, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the first `most` bytes of the answer, within `seconds` in all.

    Raises `NoAnswerError`, and ValueError for what is no URL. Its scheme is the caller's to check.
    """
    # most Commands ask no server, and this is a third of all that one would import
    import http.client
    import urllib.error
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """urllib would take a login along, to whatever host the answer names."""

        def redirect_request(self, *_: object) -> None:
            """None makes an error of the answer, with its status."""

    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310
    answers: list[tuple[int, bytes]] = []
    reasons: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=seconds) as answer:
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
