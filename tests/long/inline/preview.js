// Previews the program in bin/index.js of this folder: inline, which needs no language host.
const { LocalWorkspace } = require("@pulumi/pulumi/automation");

async function main() {
    const program = async () => require(process.cwd() + "/bin/index.js");
    const stack = await LocalWorkspace.selectStack(
        { stackName: "dev", projectName: process.argv[2], program },
        { workDir: process.cwd() },
    );
    await stack.preview({ onOutput: text => process.stdout.write(text) });
}

main().catch(error => {
    console.error(String(error));
    process.exit(1);
});
