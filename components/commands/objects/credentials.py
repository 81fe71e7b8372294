"""Where this computer keeps what opens a bucket, looked for as the providers do. Standard library only.

Nothing of it comes by the request or goes into a message: what is found is used to sign, and forgotten.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
from pathlib import Path

from components.commands.environment import for_child
from components.commands.objects.aws_signature import Credentials
from components.commands.objects.folder import NoAccessError

CLI_SECONDS = 60
_NOT_STATIC = ("role_arn", "credential_process", "sso_session", "sso_start_url", "web_identity_token_file")
"""Settings of a profile by which keys are not those that stand in it (the SDKs' shared config files)."""


def spaces_credentials() -> Credentials:
    """DigitalOcean's Spaces key, from the provider's own variables. Raises `NoAccessError`."""
    names = "SPACES_ACCESS_KEY_ID", "SPACES_SECRET_ACCESS_KEY"
    key, secret = (os.environ.get(name, "") for name in names)
    if not key or not secret:
        raise NoAccessError(f"{' and '.join(names)} are not in the environment")
    return Credentials(key=key, secret=secret)


def aws_credentials(profile: str) -> Credentials:
    """Of `profile` if the stack names one (`aws:profile`), else of the environment, else of its profile.

    Keys that a profile doesn't hold itself (SSO, roles, processes, a machine's role) are asked of the AWS command line,
    if it is installed. Raises `NoAccessError`.
    """
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    if key and secret and not profile:
        return Credentials(key=key, secret=secret, token=os.environ.get("AWS_SESSION_TOKEN", ""))
    name = profile or os.environ.get("AWS_PROFILE", "") or "default"
    found = _profile(name)
    if found.get("aws_access_key_id") and not any(setting in found for setting in _NOT_STATIC):
        return Credentials(
            key=found["aws_access_key_id"],
            secret=found.get("aws_secret_access_key", ""),
            token=found.get("aws_session_token", ""),
        )
    return _exported(name, named=name != "default")


def _profile(name: str) -> dict[str, str]:
    """A profile's settings in the shared config files; the one with the credentials wins."""
    places = (
        (os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config", name if name == "default" else f"profile {name}"),
        (os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", name),
    )
    settings: dict[str, str] = {}
    for path, section in places:
        parser = configparser.RawConfigParser()
        try:
            parser.read(Path(path).expanduser(), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            raise NoAccessError(f"{path} can't be read as AWS's shared config") from None
        if parser.has_section(section):
            settings |= dict(parser.items(section))
    return settings


def _exported(profile: str, *, named: bool) -> Credentials:
    argv = ["aws", "configure", "export-credentials", "--format", "process"]
    if named:
        argv += ["--profile", profile]
    why = f"no AWS credentials in the environment, and none in the profile {profile!r}"
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLI_SECONDS,
            check=True,
            env=for_child(),
        )
        document = json.loads(done.stdout)
        return Credentials(
            key=document["AccessKeyId"], secret=document["SecretAccessKey"], token=document.get("SessionToken") or ""
        )
    except FileNotFoundError:
        raise NoAccessError(f"{why} itself; for SSO and roles the AWS command line is needed") from None
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines() or [f"exit code {error.returncode}"]
        raise NoAccessError(f"{why}; the AWS command line says: {said[-1]}") from None
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        raise NoAccessError(f"{why}; the AWS command line gave none either") from None
