// Makes the SDK of a component package from its schema, by the generators that `pulumi package gen-sdk` calls:
// `sdks LANGUAGE FOLDER <schema.json`. A language is nodejs, go or python.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	golang "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: sdks LANGUAGE FOLDER <schema.json")
	}
	var spec schema.PackageSpec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		fail(err)
	}
	spec.Meta = &schema.MetadataSpec{SupportPack: true} // as `pulumi package add` does: an SDK that is a module of its own
	pkg, diagnostics, err := schema.BindSpec(spec, schema.NewNullLoader(), schema.ValidationOptions{})
	if err != nil {
		fail(err)
	}
	if diagnostics.HasErrors() {
		fail(diagnostics)
	}
	files, err := generate(os.Args[1], pkg)
	if err != nil {
		fail(err)
	}
	for name, content := range files {
		path := filepath.Join(os.Args[2], name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			fail(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			fail(err)
		}
	}
}

func generate(language string, pkg *schema.Package) (map[string][]byte, error) {
	switch language {
	case "nodejs":
		return nodejs.GeneratePackage("sdks", pkg, nil, nil, true, nil)
	case "python":
		return python.GeneratePackage("sdks", pkg, nil, nil)
	case "go":
		return golang.GeneratePackage("sdks", pkg, nil)
	}
	return nil, fmt.Errorf("no such language: %q", language)
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
