# SPDX-License-Identifier: MIT
"""What the tests of the page share: each has a page of its own, and none may leave an error behind."""
import json
import time
import unittest

from playwright.sync_api import sync_playwright

import harness

SENT = "Tell me a story about a fox."
ANSWER_MS = 30000


class PageCase(unittest.TestCase):
    server = None  # set by run.py
    viewport = {"width": 1366, "height": 850}

    @classmethod
    def setUpClass(cls):
        cls.playwright = sync_playwright().start()
        cls.addClassCleanup(cls.playwright.stop)
        cls.browser = harness.launch(cls.playwright)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.context = self.browser.new_context(viewport=self.viewport, color_scheme="dark")
        self.addCleanup(self.context.close)
        self.complaints, self.requests, self.allowed = [], [], []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page = self.new_page()

    def new_page(self):
        page = self.context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        return page

    def tearDown(self):
        complaints = [c for c in self.complaints if not any(part in c for part in self.allowed)]
        self.assertEqual(complaints, [], "the browser's console")
        foreign = [url for url in self.requests if not url.startswith((self.server.url + "/", "data:", "blob:"))]
        self.assertEqual(foreign, [], "requests to others than the server")

    def open(self, query=""):
        self.page.goto(self.server.url + "/" + query)
        self.until("document.getElementById('state').dataset.state === 'ready'")
        self.until("document.getElementById('model').textContent !== ''")

    def until(self, condition, timeout_s=10):
        """Waits for an expression to be true. The page's policy forbids what playwright's own waiting does."""
        deadline = time.monotonic() + timeout_s
        while not self.page.evaluate(condition):
            self.assertLess(time.monotonic(), deadline, f"not within {timeout_s} s: {condition}")
            self.page.wait_for_timeout(50)

    def chat(self, text=SENT):
        self.page.locator("#prompt").fill(text)
        self.page.locator("#prompt").press("Enter")
        self.wait_answer()

    def wait_answer(self):
        self.page.locator("#stop").wait_for(state="hidden", timeout=ANSWER_MS)
        self.page.locator("#send").wait_for(timeout=ANSWER_MS)

    def limit(self, n_tokens):
        """Sets how many tokens an answer may have, as a user does."""
        if not self.page.locator("#set-max_tokens").is_visible():
            self.page.locator("#sampling summary").click()
        self.page.locator("#set-max_tokens").fill(str(n_tokens))

    def last(self, selector):
        return self.page.locator(f"#messages .assistant {selector}").last

    def answers(self, events, status=200, headers=None):
        """From now on requests for an answer get these events, or an error's body where `status` is one."""
        if status == 200:
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            body, kind = json.dumps(events), "application/json"
        self.page.route("**/v1/chat/completions",
                        lambda route: route.fulfill(status=status, body=body, content_type=kind, headers=headers))


def chunk(content=None, **members):
    """One event of an answer's stream."""
    delta = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], **members}
