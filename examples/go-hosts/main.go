// Hosts that run Flatcar already, such as bare metal: each comes to the config in its turn.
package main

import (
	"fmt"
	"os"

	"example.com/pulumi-flatcar/sdk/go/flatcar"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func main() {
	pulumi.Run(hosts)
}

func hosts(ctx *pulumi.Context) error {
	settings := config.New(ctx, "")
	var addresses []string
	settings.RequireObject("hosts", &addresses)
	web, err := os.ReadFile("web.yaml")
	if err != nil {
		return err
	}
	var before []pulumi.Resource
	for number, address := range addresses {
		machine, err := flatcar.NewMachine(ctx, fmt.Sprintf("host-%d", number+1), &flatcar.MachineArgs{
			Config:     string(web),
			ConfigName: pulumi.StringRef("web.yaml"),
			Keep:       []string{"logs", "/var/lib/web"},
			Host:       &flatcar.HostArgs{Address: address},
			Ssh: &flatcar.SshArgs{
				PrivateKeyFile: pulumi.StringRef(settings.Require("privateKeyFile")),
				PublicKey:      pulumi.StringRef(settings.Require("publicKey")),
			},
			Health: &flatcar.HealthArgs{Units: []string{"web.socket"}},
		}, pulumi.DependsOn(before))
		if err != nil {
			return err
		}
		before = []pulumi.Resource{machine} // the next one waits for this one's proof
		ctx.Export(address, machine.ConfigId)
	}
	return nil
}
