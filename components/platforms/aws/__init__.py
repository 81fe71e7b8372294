"""AWS: EC2 instances."""
