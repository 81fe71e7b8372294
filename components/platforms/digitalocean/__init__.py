"""DigitalOcean: droplets."""
