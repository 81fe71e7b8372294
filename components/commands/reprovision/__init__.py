"""The protocol by which one machine is brought to its wanted config, and proven: `run` has its steps."""
