"""Benchmarks: `make bench` (`python -m bench ROW …`). README.md says what each row is. Nothing here passes or fails."""
