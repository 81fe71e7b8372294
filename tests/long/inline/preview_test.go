package main

import (
	"context"
	"os"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
)

// Previews the program of this folder: inline, which needs no language host.
func TestPreview(t *testing.T) {
	stack, err := auto.SelectStackInlineSource(context.Background(), "dev", "go-hosts", hosts, auto.WorkDir("."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stack.Preview(context.Background(), optpreview.ProgressStreams(os.Stdout)); err != nil {
		t.Fatal(err)
	}
}
