#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes docs/images/page-*.png, the pictures of the server's page.

    screenshots.py (PROGRAM | URL) [FOLDER]
"""
import pathlib
import shutil
import subprocess
import sys

import harness

harness.use_playwright()
from playwright.sync_api import sync_playwright  # noqa: E402

DESK = {"viewport": {"width": 1320, "height": 880}}
PHONE = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True, "device_scale_factor": 1.5}
SHOTS = {"dark": {**DESK, "color_scheme": "dark"}, "light": {**DESK, "color_scheme": "light"},
         "phone": {**PHONE, "color_scheme": "dark"}}


def ask(page, text):
    page.locator("#prompt").fill(text)
    page.locator("#prompt").press("Enter")
    page.locator("#stop").wait_for(state="hidden", timeout=60000)


def number(page, field, value):
    page.locator(field).evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value)


def shoot(browser, url, name, folder):
    page = browser.new_context(**SHOTS[name]).new_page()
    page.goto(url)
    page.locator("#state[data-state=ready]").wait_for()
    number(page, "#set-seed", 7)
    number(page, "#set-max_tokens", 170)
    ask(page, "Tell me a story about a king.")
    number(page, "#set-experts_decode", 2)
    ask(page, "Tell me a story about a fox.")
    page.wait_for_timeout(2500)  # so that the charts have something to show
    if name != "phone":
        page.locator("[data-act=tokens]").last.click()
        expert = int(page.locator(".token").nth(14).hover() or page.locator("#token-routes .expert").first.text_content())
        page.locator("#map").focus()
        for _ in range(expert + 1):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.locator("#prompt").focus()
        page.locator(".token").nth(14).hover()
    page.wait_for_timeout(300)
    picture = folder / f"page-{name}.png"
    page.screenshot(path=picture)
    if shutil.which("pngquant"):  # a third of the size
        subprocess.run(["pngquant", "--force", "--output", picture, "128", picture], check=True)


def main():
    target = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else harness.ROOT / "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    server = None if target.startswith("http://") else harness.Server(target).wait_until_ready()
    try:
        with sync_playwright() as playwright:
            browser = harness.launch(playwright)
            for name in SHOTS:
                shoot(browser, server.url if server else target, name, folder)
    finally:
        if server:
            server.stop()


if __name__ == "__main__":
    main()
