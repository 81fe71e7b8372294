"""What a fresh computer needs: pinned tools, and stand-ins where the real one can't be had.

Programs of set-up (`python -m toolchain.setup`) and of the tests (`python -m toolchain.tests`).
Nothing outside this package and the tests imports it.
"""
