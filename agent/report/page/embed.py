# SPDX-License-Identifier: Apache-2.0
"""Makes the page of its parts, and a C++ source of the page.

usage: embed.py PAGE.html STYLE.css SCRIPT.js OUTPUT.cpp

Style and script are put in the place of "<!--style-->" and "<!--script-->", and their hashes into the content security
policy, which then allows nothing else.
"""

import base64
import gzip
import hashlib
import pathlib
import sys


def hash_of(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def main():
    page, style, script = (pathlib.Path(name).read_text(encoding="utf-8") for name in sys.argv[1:4])
    if "</script" in script.lower() or "</style" in style.lower():
        sys.exit("embed.py: a closing tag within script or style would end it early")
    for name, text in (
        ("<!--style-->", f"<style>{style}</style>"),
        ("<!--script-->", f"<script>{script}</script>"),
        ("STYLE_HASH", hash_of(style)),
        ("SCRIPT_HASH", hash_of(script)),
    ):
        if page.count(name) != 1:
            sys.exit(f"embed.py: {name} must be in the page once")
        page = page.replace(name, text)
    data = gzip.compress(page.encode(), mtime=0)
    lines = [", ".join(str(byte) for byte in data[i : i + 24]) for i in range(0, len(data), 24)]
    pathlib.Path(sys.argv[4]).write_text(
        '#include "agent/report/page_template.h"\n\n'
        "namespace {\n\n"
        "constexpr unsigned char kBytes[] = {\n" + ",\n".join(lines) + "};\n\n"
        "}  // namespace\n\n"
        "const std::string_view agent::kPageTemplate(reinterpret_cast<const char*>(kBytes), sizeof(kBytes));\n",
        encoding="utf-8",
    )


main()
