"""Machines and stacks on this computer alone: real `pulumi` and real SSH, in front of systems that are stand-ins.

For `tests` and `bench`, which don't import each other.
"""
