"""Stand-ins for clouds at the level of their public HTTP APIs, and for the machines in them. All on loopback."""
