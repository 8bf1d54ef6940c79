# SPDX-License-Identifier: MIT
"""A server and a headless Chromium for the tests of its page."""
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/support"))
from serving import Server, skip  # noqa: E402, F401

VENV_PYTHON = ROOT / "build/browser/bin/python"
BROWSERS = ["chromium-headless-shell", "chromium", "google-chrome"]


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
