# SPDX-License-Identifier: MIT
"""What the tests of a running server share: packages from the index where they can be had, and the server."""
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

START_S = 60


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def need(*packages):
    """Goes on where all of these are, as name==version; if need be in an environment made for this run."""
    if all(importlib.util.find_spec(p.partition("==")[0]) for p in packages):
        return
    if os.environ.get("PACKAGES_INSTALLED"):
        skip("cannot import " + ", ".join(packages))
    with tempfile.TemporaryDirectory() as folder:
        python = pathlib.Path(folder, "bin/python")
        for command in ([sys.executable, "-m", "venv", folder], [python, "-m", "pip", "-q", "install", *packages]):
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
            if done.returncode != 0:
                skip("cannot install " + ", ".join(packages))
        environment = dict(os.environ, PACKAGES_INSTALLED="1")
        sys.exit(subprocess.run([str(python), *sys.argv], env=environment).returncode)


class Server:
    """`PROGRAM serve FLAGS` on a free port, ready; as a context it must end well."""

    def __init__(self, program, *flags):
        self.lines = []
        self.process = subprocess.Popen([program, "serve", "--port", "0", *flags], stderr=subprocess.PIPE, text=True)
        found = None
        while not found and (line := self.process.stderr.readline()):  # warnings may come first
            self.lines.append(line)
            found = re.search(r"http://[0-9.:]+", line)
        if not found:
            raise AssertionError(f"the server said: {''.join(self.lines)}")
        threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()
        self.url = found.group()
        self._wait_until_ready()

    def _wait_until_ready(self):
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url + "/ready", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        raise AssertionError("the server does not get ready")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        if code != 0 and error[0] is None:
            raise AssertionError(f"the server ended with {code}")
