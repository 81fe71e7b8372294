"""Two web servers on EC2, changed one after the other."""

from pathlib import Path

import pulumi
import pulumi_flatcar as flatcar

config = pulumi.Config()
shared = flatcar.AwsShared(
    "machines",
    ami={"version": "4459.2.1"},
    ssh_from=config.require_object("sshFrom"),
    open_ports=["8080/tcp"],
    store={"bucket": config.require("bucket")},
)
before: list[pulumi.Resource] = []
for name in ("web-1", "web-2"):
    machine = flatcar.Machine(
        name,
        config=Path("web.yaml").read_text(),
        config_name="web.yaml",
        keep=["logs", "/var/lib/web"],
        aws=shared,
        ec2={"instance_type": "t3.small", "elastic_ip": True},
        ssh={"public_key": config.require("publicKey")},
        health={
            "units": ["web.socket"],
            "commands": [{"name": "the page is served", "command": "curl --fail --silent http://127.0.0.1:8080/"}],
        },
        opts=pulumi.ResourceOptions(depends_on=before),
    )
    before = [machine]  # the next one waits for this one's proof
    pulumi.export(name, machine.ssh_command)
