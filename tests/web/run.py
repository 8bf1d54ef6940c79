#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The server's page in headless Chromium.

    run.py PROGRAM [TEST...]   starts PROGRAM serve with the default model
    run.py URL [TEST...]       asks a server that runs already

TEST is a class or a method, such as page_test.Chat. Exit 77, and a line that says why, where there is no
Chromium or no playwright.
"""
import sys
import types
import unittest

import harness

harness.use_playwright()
import page_case  # noqa: E402


def main():
    target, names = sys.argv[1], sys.argv[2:] or ["page_test", "trouble_test", "markdown_test",
                                                           "hostile_text_test"]
    is_url = target.startswith("http://")
    server = types.SimpleNamespace(url=target.rstrip("/")) if is_url else harness.Server(target).wait_until_ready()
    page_case.PageCase.server = server
    try:
        program = unittest.main(module=None, argv=[sys.argv[0], "-v", *names], exit=False)
    finally:
        if not is_url:
            server.stop()
    sys.exit(not program.result.wasSuccessful())


if __name__ == "__main__":
    main()
