# SPDX-License-Identifier: Apache-2.0
"""Makes the README's pictures anew, tests/browser/pictures: the report's page and `agent top`, both of the program that
./dev demo profiles.

usage: make_pictures.py AGENT (after ./dev test, which installs the browser and tmux)
"""

import html
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from tmux import PROMPT, Tmux  # noqa: E402  pylint: disable=wrong-import-position

PICTURES = HERE / "pictures"
PROGRAM = ["python3", "app.py"]
# Not the shell script that may stand for it.
ENVIRONMENT = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).resolve().parent}:{os.environ['PATH']}"}
SECONDS = 12
CELL, LINE, MARGIN = 8.4, 18, 14  # of a monospaced font of 14 pixels
REVERSE = re.compile(r"\x1b\[([0-9;]*)m")


def report_picture(agent, folder):
    page = folder / "app.html"
    subprocess.run([agent, "exec", "-o", page, *PROGRAM, str(SECONDS), "2"], cwd=folder, check=True, env=ENVIRONMENT,
                   stdout=subprocess.DEVNULL)
    # Its own functions only, so that the flame graph is not far below.
    subprocess.run([sys.executable, HERE / "run.py", "screenshot.js", page, PICTURES / "report.png", "1100x800", "light",
                    "whole", PROGRAM[1]], check=True)


def svg_row(row, index, columns):
    """One row of a screen with its escape sequences: text, and a bar where it is reversed."""
    is_reverse = "7" in {code for match in REVERSE.findall(row) for code in match.split(";")}
    text = REVERSE.sub("", row)
    top = MARGIN + index * LINE
    bar = ""
    if is_reverse:
        bar = f'<rect x="{MARGIN}" y="{top}" width="{len(text) * CELL:.1f}" height="{LINE}" fill="#d8d8d3"/>'
        text = text.ljust(columns).rstrip()
    color = "#17181b" if is_reverse else "#e9e9e4"
    if not text.strip():
        return bar
    return (f'{bar}<text x="{MARGIN}" y="{top + LINE - 5}" fill="{color}" textLength="{len(text) * CELL:.1f}" '
            f'xml:space="preserve">{html.escape(text)}</text>')


def svg(rows, columns, title):
    width, height = 2 * MARGIN + columns * CELL, 2 * MARGIN + len(rows) * LINE
    texts = "\n".join(filter(None, (svg_row(row, i, columns) for i, row in enumerate(rows))))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(title)}" width="{width:.0f}" '
            f'height="{height}" viewBox="0 0 {width:.0f} {height}" '
            f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">\n'
            f'<rect width="100%" height="100%" rx="8" fill="#17181b"/>\n{texts}\n</svg>\n')


def top_picture(agent, folder):
    """From a real terminal, as tmux has it on its screen."""
    case = unittest.TestCase()
    rows, columns = 14, 96
    terminal = Tmux(case, rows, columns)
    try:
        terminal.run(f"cd {folder}; PATH={ENVIRONMENT['PATH']}; clear")
        terminal.run(f"{agent} top -- {' '.join(PROGRAM)} 60 2")
        terminal.expect(rf"CPU since {SECONDS} s", seconds=60)
        picture = terminal.screen(colors=True)
        terminal.keys("q")
        terminal.expect(PROMPT)
    finally:
        case.doCleanups()
    (PICTURES / "top.svg").write_text(svg(picture, columns, "agent top on a Python program"))


def main():
    agent = pathlib.Path(sys.argv[1]).resolve()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="app-") as folder:
        shutil.copy(HERE.parent / "programs" / "shares.py", pathlib.Path(folder) / PROGRAM[1])
        report_picture(agent, pathlib.Path(folder))
        top_picture(agent, folder)


main()
