"""Rules over what machines' configs bring: each machine shows its files, units and users, with secrets masked."""

import re

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

MACHINES = ("flatcar:index:Machine", "flatcar:index:Config")  # a machine; the config of one that something else makes
NEWEST_IMAGE = re.compile(r"\S+:latest\b")


def of_config(args: ResourceValidationArgs, section: str) -> dict[str, dict]:
    """`files`, `units` or `users` of a machine's config, by name."""
    return dict(args.props.get(section) or {}) if args.resource_type in MACHINES else {}


def no_passwords(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """A user's password hash is masked, but shows that there is one."""
    for name, user in of_config(args, "users").items():
        if "passwordHash" in user:
            report(f"{args.name}: user {name} has a password; people log in with keys")


def sshd_is_left_alone(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Files of sshd, wherever their contents come from."""
    for path in of_config(args, "files"):
        if path.startswith("/etc/ssh/"):
            report(f"{args.name}: {path} changes how one logs in, which is the platform team's")


def images_have_versions(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """The text of a unit, as systemd gets it."""
    for name, unit in of_config(args, "units").items():
        for image in NEWEST_IMAGE.findall(unit.get("contents", "")):
            report(f"{args.name}: {name} runs {image}, which is another image each day; name a version")


PolicyPack(
    name="flatcar",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        ResourceValidationPolicy(
            name="no-passwords", description="Nobody logs in with a password.", validate=no_passwords
        ),
        ResourceValidationPolicy(
            name="sshd-is-left-alone", description="Configs leave sshd as it is.", validate=sshd_is_left_alone
        ),
        ResourceValidationPolicy(
            name="images-have-versions", description="Units name versions of images.", validate=images_have_versions
        ),
    ],
)
