"""How machines come to exist: Pulumi resources, and the programs they start.

This file imports nothing: `components.commands` must start in milliseconds without Pulumi.
"""
