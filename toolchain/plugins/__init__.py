"""Stand-ins for Pulumi provider plugins, used only where the real plugin can't be downloaded."""
