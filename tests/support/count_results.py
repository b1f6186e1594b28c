# SPDX-License-Identifier: Apache-2.0
"""Reads a JUnit file of ctest's: prints passed, failed and skipped on three lines; who was skipped, and why, on stderr."""

import re
import sys
import xml.etree.ElementTree

# What ctest says of a test that was skipped on purpose; any other test that did not run (its program is missing, say)
# has failed.
SKIPPED = re.compile(r"SKIP_RETURN_CODE|SKIP_REGULAR_EXPRESSION|Disabled")


def main():
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(sys.argv[1]).iter("testcase"):
        if case.get("status") == "run":
            passed += 1
            continue
        note = case.find("skipped")
        if note is None or not SKIPPED.search(note.get("message", "")):
            failed += 1
            continue
        skipped += 1
        reasons = re.findall(r"^(?:SKIP|SKIPPED): *(.*)$", case.findtext("system-out") or "", re.MULTILINE)
        print(f"SKIPPED {case.get('name')}: {'; '.join(reasons) or note.get('message')}", file=sys.stderr)
    print(passed, failed, skipped, sep="\n")


main()
