"""What of a change is live, and what needs a reset: by the configs alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.reprovision.live_plan import Live, LiveSettings, Reset, live_plan
from components.commands.reprovision.manifest import PRESETS, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

Config = dict[str, Any]
WEB = "[Service]\nExecStart=/usr/bin/docker run -v /srv/web:/www nginx\nEnvironmentFile=/etc/web.env\n"
UNIT = "/etc/systemd/system"


def base() -> Config:
    return {
        "ignition": {"version": "3.3.0"},
        "storage": {
            "files": [
                {"path": "/srv/web/index.html", "contents": {"source": "data:,one"}},
                {"path": "/etc/web.env", "contents": {"source": "data:,one"}},
                {"path": "/etc/motd", "contents": {"source": "data:,one"}},
                {"path": "/etc/flatcar/config-id", "contents": {"source": "data:,one"}},
            ],
            "links": [{"path": "/srv/web/latest", "target": "one"}],
            "directories": [{"path": "/srv/web/img", "mode": 0o755}],
        },
        "systemd": {
            "units": [
                {"name": "web.service", "enabled": True, "contents": WEB},
                {"name": "old.timer", "contents": "[Timer]\nOnCalendar=daily\n"},
                {"name": "docker.service", "dropins": [{"name": "a.conf", "contents": "[Unit]\n"}]},
                {"name": "sshd.service", "dropins": [{"name": "a.conf", "contents": "[Unit]\n"}]},
                {"name": "off.service", "mask": True},
            ]
        },
        "passwd": {
            "users": [{"name": "core", "sshAuthorizedKeys": ["ssh-rsa AAAA"], "passwordHash": "$6$a", "groups": ["a"]}],
            "groups": [{"name": "a", "gid": 2000}],
        },
    }


def files(config: Config) -> list[Config]:
    found: list[Config] = config["storage"]["files"]
    return found


def units(config: Config) -> list[Config]:
    found: list[Config] = config["systemd"]["units"]
    return found


def rewrite(number: int, text: str = "two") -> Callable[[Config], Any]:
    return lambda config: files(config)[number].update(contents={"source": f"data:,{text}"})


def add_file(path: str, **more: Any) -> Callable[[Config], Any]:
    return lambda config: files(config).append({"path": path, "contents": {"source": "data:,x"}, **more})


def unit(number: int, **changes: Any) -> Callable[[Config], Any]:
    return lambda config: units(config)[number].update(changes)


def core(**changes: Any) -> Callable[[Config], Any]:
    return lambda config: config["passwd"]["users"][0].update(changes)


def add_user(name: str, **more: Any) -> Callable[[Config], Any]:
    return lambda config: config["passwd"]["users"].append({"name": name, **more})


def add_group(**group: Any) -> Callable[[Config], Any]:
    return lambda config: config["passwd"]["groups"].append(group)


def plan(change: Callable[[Config], Any], *, back: bool = False) -> Live | Reset:
    old, new = base(), copy.deepcopy(base())
    change(new)
    if back:
        old, new = new, old
    return live_plan(Manifest.of(old, "salt"), Manifest.of(new, "salt"))


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        (rewrite(3), Live(writes=("/etc/flatcar/config-id",)), "nothing but its config id changes"),
        (
            rewrite(0),
            Live(writes=("/srv/web/index.html",), restarts=("web.service",)),
            "/srv/web/index.html changes, web.service restarts",
        ),
        (
            add_file("/srv/web/a/b.png"),
            Live(writes=("/srv/web/a/b.png",), restarts=("web.service",)),
            "/srv/web/a/b.png changes, web.service restarts",
        ),
        (
            lambda config: files(config).pop(1),
            Live(deletes=("/etc/web.env",), restarts=("web.service",)),
            "/etc/web.env goes, web.service restarts",
        ),
        (
            lambda config: config["storage"]["links"][0].update(target="two"),
            Live(writes=("/srv/web/latest",), restarts=("web.service",)),
            "/srv/web/latest changes, web.service restarts",
        ),
        (
            lambda config: config["storage"]["directories"].append({"path": "/srv/web/new"}),
            Live(writes=("/srv/web/new",), restarts=("web.service",)),
            "/srv/web/new changes, web.service restarts",
        ),
        (
            unit(0, contents=WEB + "#"),
            Live(writes=(f"{UNIT}/web.service", PRESETS), presets=("web.service",), restarts=("web.service",)),
            f"{UNIT}/web.service changes, web.service restarts",
        ),
        (
            lambda config: units(config).pop(1),
            Live(writes=(PRESETS,), deletes=(f"{UNIT}/old.timer",), stops=("old.timer",)),
            f"{UNIT}/old.timer goes, old.timer stops",
        ),
        (
            lambda config: (units(config).pop(0), files(config).pop(1)),
            Live(deletes=("/etc/web.env", f"{UNIT}/web.service", PRESETS), stops=("web.service",)),
            f"/etc/web.env, {UNIT}/web.service go, web.service stops",
        ),
        (
            unit(1, enabled=True),
            Live(writes=(PRESETS,), presets=("old.timer",), restarts=("old.timer",)),
            "old.timer restarts",
        ),
        (
            unit(2, dropins=[{"name": "a.conf", "contents": "[Service]\n"}]),
            Live(
                writes=(f"{UNIT}/docker.service.d/a.conf", PRESETS),
                restarts=("docker.service",),
            ),
            f"{UNIT}/docker.service.d/a.conf changes, docker.service restarts",
        ),
        *(
            (
                change,
                Live(
                    writes=(PRESETS,) * more,
                    deletes=(PRESETS,) * (not more),
                    disables=("web.service",),
                    presets=("web.service",),
                ),
                "web.service is not enabled any more",
            )
            for change, more in ((unit(0, enabled=False), 1), (lambda config: units(config)[0].pop("enabled"), 0))
        ),
        (
            unit(0, mask=True),
            Live(writes=(f"{UNIT}/web.service", PRESETS), masks=("web.service",)),
            f"{UNIT}/web.service changes, web.service is masked",
        ),
        (
            lambda config: units(config).append({"name": "update-engine.service", "mask": True}),
            Live(writes=(f"{UNIT}/update-engine.service", PRESETS), masks=("update-engine.service",)),
            f"{UNIT}/update-engine.service changes, update-engine.service is masked",
        ),
        *(
            (
                change,
                Live(
                    writes=(PRESETS,),
                    deletes=(f"{UNIT}/off.service",),
                    presets=("off.service",),
                    restarts=("off.service",),
                ),
                f"{UNIT}/off.service goes, off.service restarts",
            )
            for change in (lambda config: units(config).pop(4), unit(4, mask=False))
        ),
        (
            unit(4, mask=False, contents="[Service]\n"),
            Live(writes=(f"{UNIT}/off.service", PRESETS), presets=("off.service",), restarts=("off.service",)),
            f"{UNIT}/off.service changes, off.service restarts",
        ),
        (
            lambda config: units(config).append({"name": "containerd.service", "enabled": True}),
            Live(writes=(PRESETS,), presets=("containerd.service",), restarts=("containerd.service",)),
            "containerd.service restarts",
        ),
        (
            lambda config: units(config).append({"name": "containerd.service", "enabled": False}),
            Live(writes=(PRESETS,), presets=("containerd.service",), disables=("containerd.service",)),
            "containerd.service is not enabled any more",
        ),
        (core(sshAuthorizedKeys=["ssh-rsa BBBB", "ssh-rsa AAAA"]), Live(users=("core",)), "user core changes"),
        (core(sshAuthorizedKeys=["ssh-rsa AAAA another comment"]), Live(users=("core",)), "user core changes"),
        (core(passwordHash="$6$b"), Live(users=("core",)), "user core changes"),
        (core(groups=["a", "docker"]), Live(users=("core",), regrouped=("core",)), "user core changes"),
        (
            add_user("ann", homeDir="/srv/ann", shell="/bin/sh"),
            Live(users=("ann",), new_users=("ann",)),
            "user ann changes",
        ),
        (add_user("ann", system=True, uid=200), Live(users=("ann",), new_users=("ann",)), "user ann changes"),
        (add_group(name="b", gid=2001), Live(new_groups=("b",)), "group b changes"),
    ],
)
def test_what_is_live(change: Callable[[Config], Any], expected: Live, words: str) -> None:
    found = plan(change)
    assert found == expected
    assert str(found) == words


def test_a_group_that_comes_changes_the_ids_of_groups_that_users_have_of_their_own() -> None:
    """A reset makes it before the users; beside those that come along it is made first here as well."""
    old, new = base(), base()
    add_user("ann")(old)
    add_user("ann")(new)
    add_group(name="b", gid=1601)(new)
    found = live_plan(Manifest.of(old, salt="s"), Manifest.of(new, salt="s"))
    assert str(found) == "group b is new, on which the ids of the groups of ann depend"
    along = live_plan(Manifest.of(base(), salt="s"), Manifest.of(new, salt="s"))
    assert along == Live(new_groups=("b",), users=("ann",), new_users=("ann",))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda config: config.update(kernelArguments={"shouldExist": ["quiet"]}), "kernel arguments change"),
        (lambda config: config["storage"].update(disks=[{"device": "/dev/vdb"}]), "disks change"),
        (lambda config: config["storage"].update(filesystems=[{"device": "/dev/vdb"}]), "file systems change"),
        (lambda config: config["ignition"].update(version="3.4.0"), "settings of Ignition change"),
        (core(sshAuthorizedKeys=[]), "user core has no SSH keys any more"),
        (core(passwordHash=""), "of user core more changes than keys, password and groups"),
        (lambda config: config["passwd"]["users"][0].pop("passwordHash"), "user core has no password any more"),
        (core(groups=[]), "user core has no groups any more"),
        *(
            (core(**{field: value}), "of user core more changes than keys, password and groups")
            for field, value in (("uid", 501), ("homeDir", "/srv/core"), ("shell", "/bin/sh"), ("gecos", "C"))
        ),
        (lambda config: config["passwd"].update(users=[]), "a user goes, or they have another order"),
        (
            lambda config: config["passwd"]["users"].insert(0, {"name": "ann"}),
            "a user goes, or they have another order",
        ),
        (add_user("ann", system=True), "user ann is new, and one of the system without an id"),
        (add_user("ann", shouldExist=False), "users that must not exist change"),
        (add_group(name="b"), "group b is new, and not declared by its name and an id alone"),
        (add_group(name="b", gid=3, passwordHash="x"), "group b is new, and not declared by its name and an id alone"),
        (lambda config: config["passwd"]["groups"][0].update(gid=2002), "a group goes, or changes"),
        (lambda config: config["passwd"].update(groups=[]), "a group goes, or changes"),
        (rewrite(2), "no unit names /etc/motd, so what reads it is not known"),
        (add_file("/etc/sysctl.d/a.conf"), "/etc/sysctl.d/a.conf is the system's"),
        (add_file("/etc/ssh/sshd_config"), "/etc/ssh/sshd_config is the system's"),
        (add_file("/etc/systemd/network/a.network"), "/etc/systemd/network/a.network is the system's"),
        (add_file("/etc/flatcar/generation"), "its generation is another one"),
        (add_file("/srv/web/x", mode=0o4755), "/srv/web/x has a special mode"),
        (add_file("/srv/web/x", append=[{"source": "https://x/y"}]), "what /srv/web/x holds is fetched from elsewhere"),
        (
            lambda config: files(config).append({"path": "/srv/web/x", "append": [{"source": "data:,x"}]}),
            "something is appended to /srv/web/x",
        ),
        (lambda config: files(config).append({"path": "/srv/web/x"}), "what /srv/web/x holds is not declared"),
        (
            lambda config: config["storage"]["links"].append({"path": "/srv/web/x", "target": "/y", "hard": True}),
            "/srv/web/x is a hard link",
        ),
        (
            lambda config: config["storage"]["directories"][0].update(mode=0o700),
            "the directory /srv/web/img changes, or goes",
        ),
        (lambda config: units(config).pop(2), "docker.service goes back to what the image has"),
        (
            lambda config: units(config).append({"name": "systemd-resolved.service", "mask": True}),
            "systemd-resolved.service changes",
        ),
        (
            lambda config: config["storage"]["links"].append({"path": f"{UNIT}/x.service", "target": "/dev/null"}),
            f"{UNIT}/x.service is the system's",
        ),
        (unit(3, dropins=[]), "sshd.service changes"),
        (
            lambda config: units(config).append({"name": "a@b.service", "contents": "[Service]\n"}),
            "a@b.service changes",
        ),
        (lambda config: units(config).append({"name": "srv.mount", "contents": "[Mount]\n"}), "srv.mount changes"),
        (
            lambda config: config["storage"]["links"].append(
                {"path": f"{UNIT}/multi-user.target.wants/x.service", "target": "x"}
            ),
            f"{UNIT}/multi-user.target.wants/x.service is the system's",
        ),
    ],
)
def test_what_needs_a_reset(change: Callable[[Config], Any], reason: str) -> None:
    found = plan(change)
    assert isinstance(found, Reset)
    assert str(found).startswith(reason)


def test_of_an_earlier_versions_manifest_users_are_compared_as_a_whole() -> None:
    old = Manifest.of(base())
    before = replace(old, users=tuple(replace(user, rest="") for user in old.users))
    assert live_plan(before, old) == Live()
    config = base()
    core(passwordHash="$6$b")(config)
    assert isinstance(live_plan(before, Manifest.of(config)), Reset)


def test_what_lies_on_another_file_system_needs_a_reset() -> None:
    old, new = base(), base()
    for config in (old, new):
        config["storage"]["filesystems"] = [{"device": "/dev/vdb", "path": "/srv/web"}]
    rewrite(0)(new)
    assert live_plan(Manifest.of(old), Manifest.of(new)) == Reset(
        reason="/srv/web/index.html lies on a file system of its own"
    )
    add_user("ann", homeDir="/srv/web/ann")(old)
    assert live_plan(Manifest.of(new), Manifest.of(old)) == Reset(
        reason="/srv/web/ann lies on a file system of its own"
    )


@pytest.mark.parametrize("path", ["/etc/skel/.vimrc", "/etc/login.defs", "/etc/default/useradd"])
def test_what_useradd_reads_is_the_images_own_when_ignition_makes_a_user(path: str) -> None:
    old, new = base(), base()
    add_file(path)(old)
    add_file(path)(new)
    add_user("ann")(new)
    assert str(live_plan(Manifest.of(old), Manifest.of(new))).startswith("user ann is new, and made by the image's own")


def test_what_rules_of_tmpfiles_may_be_about_needs_a_reset() -> None:
    old, new = base(), base()
    for config in (old, new):
        add_file("/etc/tmpfiles.d/web.conf")(config)
    rewrite(3)(new)
    assert isinstance(live_plan(Manifest.of(old), Manifest.of(new)), Live)
    add_file("/srv/web/key")(new)
    assert str(live_plan(Manifest.of(old), Manifest.of(new))) == (
        "/etc/tmpfiles.d/web.conf may say more of what is new, and counts when the system boots"
    )


def test_a_unit_that_names_the_stamp_needs_a_reset() -> None:
    old, new = base(), base()
    for config in (old, new):
        units(config).append(
            {"name": "told.service", "contents": "[Service]\nExecStart=/bin/cat %E/flatcar/config-id\n"}
        )
    rewrite(3)(new)
    assert str(live_plan(Manifest.of(old), Manifest.of(new))) == (
        "told.service names /etc/flatcar/config-id, which is there when all has started"
    )


def test_a_unit_that_names_other_paths_than_an_earlier_version_saw_is_the_same() -> None:
    old = Manifest.of(base())
    before = replace(old, units=tuple(replace(unit, names=()) for unit in old.units))
    assert live_plan(before, old) == Live()


def test_another_kind_at_the_same_path_needs_a_reset() -> None:
    def change(config: Config) -> None:
        config["storage"]["links"].clear()
        add_file("/srv/web/latest")(config)

    assert plan(change) == Reset(reason="/srv/web/latest was a link, and becomes a file")
    assert plan(change, back=True) == Reset(reason="/srv/web/latest was a file, and becomes a link")


RESTART = {"/etc/motd": "motd.service", "/etc/app/*": "app.service web.service", "/etc/docker/*": "docker.service"}


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        (rewrite(2), {"restart": RESTART}, Live(writes=("/etc/motd",), restarts=("motd.service",))),
        (
            add_file("/etc/app/a/b"),
            {"restart": RESTART},
            Live(writes=("/etc/app/a/b",), restarts=("app.service", "web.service")),
        ),
        (
            add_file("/etc/docker/daemon.json"),
            {"restart": RESTART},
            Live(writes=("/etc/docker/daemon.json",), restarts=("docker.service",)),
        ),
        (rewrite(2), {"reload": RESTART}, Live(writes=("/etc/motd",), reloads=("motd.service",))),
        # a unit that names the file reloads, if that is said, and restarts for another one
        (
            rewrite(0),
            {"reload": {"/srv/*": "web.service"}},
            Live(writes=("/srv/web/index.html",), reloads=("web.service",)),
        ),
        (
            lambda config: (rewrite(0)(config), rewrite(1)(config)),
            {"reload": {"/srv/*": "web.service"}},
            Live(writes=("/srv/web/index.html", "/etc/web.env"), restarts=("web.service",)),
        ),
        (rewrite(2), {"restart": {"/etc/mot": "a.service"}}, "no unit names /etc/motd"),
        (rewrite(2), {"reload": {"/etc/motd": "sshd.service"}}, "sshd.service would have to restart"),
        (add_file("/etc/docker/daemon.json"), {}, "/etc/docker/daemon.json is the system's"),
        (add_file("/etc/sysctl.d/a.conf"), {"restart": {"*": "a.service"}}, "/etc/sysctl.d/a.conf is the system's"),
    ],
)
def test_units_that_the_settings_name(
    change: Callable[[Config], Any], settings: dict[str, Any], expected: Live | str
) -> None:
    new = base()
    change(new)
    found = live_plan(Manifest.of(base()), Manifest.of(new), LiveSettings(**settings))
    if isinstance(expected, str):
        assert str(found).startswith(expected)
    else:
        assert found == expected


def test_the_same_config_changes_nothing() -> None:
    assert plan(lambda config: None) == Live()
