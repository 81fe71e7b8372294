"""What machines should be: their configs, and the transpiler that reads them. Never imports Pulumi."""
