# SPDX-License-Identifier: MIT
"""A server and a headless Chromium for the tests of its page."""
import contextlib
import glob
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV_PYTHON = ROOT / "build/browser/bin/python"
BROWSERS = ["chromium-headless-shell", "chromium", "google-chrome"]
START_S = 60


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def use_playwright():
    """Goes on in the environment that scripts/setup --browser made, if playwright is not here."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        if not VENV_PYTHON.exists() or pathlib.Path(sys.prefix) == VENV_PYTHON.parents[1]:
            skip("no playwright; scripts/setup --browser installs it")
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), *sys.argv])
    if not browser_path():
        skip("no Chromium; scripts/setup --browser installs it")


def browser_path():
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def launch(playwright):
    # Chromium's sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=browser_path(), args=arguments)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`switchyard serve` with the default model, on a port of its own."""

    def __init__(self, program, *flags, port=None):
        self.program = program
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(ROOT / "build" / "page_test_server.log", "ab")
        model = sorted(glob.glob(str(ROOT / "models/*.gguf")))[0]
        command = [program, "serve", "-m", model, "--port", str(self.port), *flags]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self.wait()
            undo.pop_all()

    def wait(self):
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(self.url + "/ready", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not get ready; see {self.log.name}") from None
                time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
