# SPDX-License-Identifier: Apache-2.0
"""Runs one unittest method of tests/e2e or tests/containers; exits with 77 when it was skipped, 1 when it failed."""

import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("e2e", "containers", "support")]


def main():
    suite = unittest.defaultTestLoader.loadTestsFromName(sys.argv[1])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    # A class that is skipped as a whole counts as no test.
    if not result.wasSuccessful() or (not result.skipped and result.testsRun != suite.countTestCases()):
        sys.exit(1)
    for _, reason in result.skipped:
        print("SKIP:", reason)
    sys.exit(77 if result.skipped else 0)


main()
