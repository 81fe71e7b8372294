"""Stand-in for the plugin of pulumi-digitalocean 4.84: the resources that this project uses."""
