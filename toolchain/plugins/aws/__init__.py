"""Stand-in for the plugin of pulumi-aws 7.51: the resources that this project uses."""
