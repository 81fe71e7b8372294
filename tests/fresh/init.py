"""The first process of a fresh computer: runs the commands that come on stdin, one a line, as JSON lists.

All their output goes to stderr; stdout gets a line with the exit code of each. It ends at the end of stdin, and with
it every process of the computer. Processes that lost their parents end as its children: it waits for them.
"""

import ctypes
import json
import os
import subprocess
import sys

MNT_DETACH = 2
if ctypes.CDLL(None).umount2(b"/mnt", MNT_DETACH):  # the other computer's files
    sys.exit("the root file system before can't be unmounted")
for line in iter(sys.stdin.readline, ""):
    child = subprocess.Popen(json.loads(line), stdin=subprocess.DEVNULL, stdout=sys.stderr)
    ended, status = 0, 0
    while ended != child.pid:
        ended, status = os.wait()
    child.returncode = os.waitstatus_to_exitcode(status)
    print(child.returncode, flush=True)
