# SPDX-License-Identifier: Apache-2.0
"""Makes code, runs it for a moment and frees it, all the time, as imports do. usage: churn.py SECONDS"""

import sys
import time

until = time.monotonic() + float(sys.argv[1])
number = 0
while time.monotonic() < until:
    number += 1
    exec(compile(f"def f{number}():\n  for i in range(3000): pass\nf{number}()", f"made{number}.py", "exec"), {})
