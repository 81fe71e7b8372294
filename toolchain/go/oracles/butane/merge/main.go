// Merges Butane configs the way terraform-provider-ct does: each becomes an Ignition config, then Ignition merges
// them in order. Tests compare cl/transpiler/snippets.py with it. Files are the arguments; JSON is the output.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	butane "github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"
	ignition "github.com/coreos/ignition/v2/config/v3_4"
	"github.com/coreos/ignition/v2/config/v3_4/types"
)

func main() {
	merged := types.Config{}
	for number, name := range os.Args[1:] {
		text, err := os.ReadFile(name)
		if err == nil {
			text, _, err = butane.TranslateBytes(text, common.TranslateBytesOptions{})
		}
		if err == nil {
			var config types.Config
			config, _, err = ignition.ParseCompatibleVersion(text)
			if number == 0 {
				merged = config
			} else {
				merged = ignition.Merge(merged, config)
			}
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
	out, err := json.Marshal(merged)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(out))
}
