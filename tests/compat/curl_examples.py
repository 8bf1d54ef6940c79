#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The curl commands of the pages, as they stand there, against `PROGRAM serve`: each must be answered with 200.

    curl_examples.py PROGRAM
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from serving import Server, skip  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/server.md", "docs/commands/serve.md"]
TOO_LATE = 28  # curl's exit code where --max-time ends a stream


def commands_of(page):
    """The commands of its code blocks that begin with curl, each to the end of its quotes."""
    for block in re.findall(r"^```\w*\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S):
        lines = block.splitlines()
        while lines:
            command = lines.pop(0)
            while command.count("'") % 2 and lines:
                command += "\n" + lines.pop(0)
            if command.startswith("curl "):
                yield command


def main():
    if not shutil.which("curl"):
        skip("no curl here")
    n_run = 0
    with tempfile.TemporaryDirectory() as slots, Server(sys.argv[1], "--slot-save-path", slots) as server:
        for page in PAGES:
            for command in commands_of(page):
                here = command.replace("localhost:8080", server.url.removeprefix("http://"))
                done = subprocess.run(["bash", "-c", here.replace("curl ", "curl --fail-with-body ", 1)], capture_output=True,
                                      text=True, timeout=120)
                fine = done.returncode == 0 or (done.returncode == TOO_LATE and "--max-time" in command)
                if not fine or not done.stdout:
                    sys.exit(f"{page}: {command}\ncurl ended with {done.returncode}: {done.stdout}{done.stderr}")
                n_run += 1
    if n_run < 10:
        sys.exit(f"only {n_run} commands found")
    print(f"{n_run} commands of {len(PAGES)} pages run")


if __name__ == "__main__":
    main()
