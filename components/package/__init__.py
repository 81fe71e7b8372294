"""The components as a package for other programs, in any of Pulumi's languages; `package/` starts it as a plugin.

`inputs` is what they take, `machine` a whole machine, `halves` the two parts for a machine that somebody else makes.
The modules of this folder that hold classes for Pulumi have annotations that are objects, not texts: its analyzer of
types (pulumi.provider.experimental, 3.272) reads them, and doesn't take unions and protocols either.
"""
