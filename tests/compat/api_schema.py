#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""schemathesis on /openapi.json of `PROGRAM serve`: requests made from the description, sound and broken ones.

    api_schema.py PROGRAM [EXAMPLES]

Every status must be described, none may be an error of the server, every error has the form of the description, what breaks the
description is refused, and no route but the open ones answers without the key. What is left out: that all which the
description allows be accepted. It cannot say which names, ids and conversations the loaded model takes.
"""
import subprocess
import sys
import tempfile

from packages import need
from serving import Server

need("schemathesis==4.32.5")

KEY = "key-of-the-test"
LEFT_OUT = ["positive_data_acceptance"]


def main():
    n_example = sys.argv[2] if len(sys.argv) > 2 else "20"
    # Without a folder for slots, saving is not implemented: a 501, which schemathesis counts as an error.
    with tempfile.TemporaryDirectory() as slots, Server(
            sys.argv[1], "--api-key", KEY, "-n", "8", "--request-timeout", "20", "--slot-save-path", slots) as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", "all",
                   "--exclude-checks", ",".join(LEFT_OUT), "--header", f"Authorization: Bearer {KEY}",
                   "--max-examples", n_example, "--seed", "1", "--continue-on-failure", "--no-color",
                   "--request-timeout", "30"]
        code = subprocess.run(command).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()
