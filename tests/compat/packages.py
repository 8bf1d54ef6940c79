# SPDX-License-Identifier: MIT
"""Packages from the index, where they can be had."""
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from serving import skip  # noqa: E402


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
