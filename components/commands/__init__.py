"""Programs that the Pulumi engine starts on the operator's computer.

Standard library only: no Pulumi, no YAML. Each takes one JSON document on stdin, prints progress lines to stderr,
and one JSON document as the last line of stdout; exit status 1 with the reason on stderr when it fails.
"""
