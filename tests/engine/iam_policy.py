"""A small evaluator of IAM policies, enough to ask who may do what with the policies that this project writes.

Rules: an explicit Deny wins; else one Allow, of the identity or of the bucket, is enough (same account); else denied.
`*` and `?` are wildcards in actions and resources. Conditions: `Bool`. Anything else in a policy is an error, so that a
policy that grows beyond this fails the tests instead of passing unseen.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KNOWN = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: `s3:GetObject` on an ARN, by a role (or by anyone: ""), with or without TLS."""

    action: str
    resource: str
    role: str = ""
    tls: bool = True


def is_allowed(request: Request, *, identity: Sequence[Mapping[str, Any]], bucket: Mapping[str, Any]) -> bool:
    """Whether a request passes the role's policies and the bucket's."""
    if {policy["Version"] for policy in (*identity, bucket)} != {"2012-10-17"}:
        raise NotImplementedError("a policy of another version of the language")
    mine = [statement for policy in identity for statement in policy["Statement"]] if request.role else []
    theirs = [statement for statement in bucket["Statement"] if _is_meant(statement, request)]
    effects = {statement["Effect"] for statement in [*mine, *theirs] if _applies(statement, request)}
    return "Deny" not in effects and "Allow" in effects


def _is_meant(statement: Mapping[str, Any], request: Request) -> bool:
    if statement["Principal"] != "*":
        raise NotImplementedError(f"principal {statement['Principal']}")
    return True


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    if set(statement) - KNOWN:
        raise NotImplementedError(f"{set(statement) - KNOWN} in a statement")
    return (
        any(fnmatch.fnmatchcase(request.action, action) for action in _all(statement["Action"]))
        and any(fnmatch.fnmatchcase(request.resource, pattern) for pattern in _all(statement["Resource"]))
        and all(_holds(operator, keys, request) for operator, keys in statement.get("Condition", {}).items())
    )


def _holds(operator: str, keys: Mapping[str, str], request: Request) -> bool:
    if operator != "Bool" or set(keys) != {"aws:SecureTransport"}:
        raise NotImplementedError(f"condition {operator} {keys}")
    return keys["aws:SecureTransport"] == str(request.tls).lower()


def _all(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
