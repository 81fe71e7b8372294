// Two droplets with reserved addresses, changed one after the other.
import * as fs from "fs";
import * as path from "path";
import * as pulumi from "@pulumi/pulumi";
import * as flatcar from "@pulumi/flatcar";

const config = new pulumi.Config();
const publicKey = config.require("publicKey");
const web = fs.readFileSync(path.join(process.cwd(), "web.yaml"), "utf8");

const shared = new flatcar.DigitalOceanShared("machines", {
    region: "fra1",
    image: { version: "4459.2.1" },
    sshKeys: [config.require("sshKey")],
    sshFrom: config.requireObject<string[]>("sshFrom"),
    openPorts: ["8080/tcp"],
    store: { bucket: config.require("bucket"), region: "fra1" },
});

let before: flatcar.Machine[] = [];
export const ssh: Record<string, pulumi.Output<string>> = {};
for (const name of ["web-1", "web-2"]) {
    const machine = new flatcar.Machine(
        name,
        {
            config: web,
            configName: "web.yaml",
            keep: ["logs", "/var/lib/web"],
            digitalocean: shared,
            droplet: { size: "s-1vcpu-1gb", reservedIp: true },
            ssh: { publicKey },
            health: {
                units: ["web.socket"],
                commands: [{ name: "the page is served", command: "curl --fail --silent http://127.0.0.1:8080/" }],
            },
        },
        { dependsOn: before },
    );
    before = [machine]; // the next one waits for this one's proof
    ssh[name] = machine.sshCommand;
}
