"""What an object holds: the transpiled config, what this program adds to it, and what may be shown of it."""
