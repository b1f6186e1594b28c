# SPDX-License-Identifier: Apache-2.0
"""Forks and executes a set-uid program COUNT times, as an ordinary user; counts those that lost their right.

usage: setuid_storm.py PROGRAM COUNT    (PROGRAM ends with 0 when it runs with the rights of its owner)
"""

import os
import sys

lost = 0
for _ in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        sum(range(3000))  # some Python of its own between fork and exec
        os.execv(sys.argv[1], [sys.argv[1]])
    lost += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
print(f"lost {lost}", flush=True)
