"""Stand-in for the plugin of pulumi-command 1.2: `command:local:Command`."""
