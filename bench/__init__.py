"""Benchmarks: programs that measure and print. No test runs them."""
