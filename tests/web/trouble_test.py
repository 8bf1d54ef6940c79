# SPDX-License-Identifier: MIT
"""The page where something goes wrong: errors, keys, storage, a server that goes away."""
import harness
from page_case import PageCase, chunk


class Trouble(PageCase):
    def test_error_is_one_clear_line(self):
        self.open()
        self.allowed = ["400"]
        self.answers({"error": {"message": "the prompt has 1,400 tokens and the context 1,024", "type": "invalid_request_error",
                                "param": "messages", "code": "context_length_exceeded"}}, status=400)
        self.chat()
        self.assertEqual(self.last(".note").text_content(),
                         "the prompt has 1,400 tokens and the context 1,024 (messages)")

    def test_error_in_mid_stream_keeps_the_text(self):
        self.open()
        self.answers([chunk("Once upon"), {"error": {"message": "the router gave no number"}}])
        self.chat()
        self.assertEqual(self.last(".body").text_content(), "Once upon")
        self.assertEqual(self.last(".note").text_content(), "the router gave no number")

    def test_warnings_are_shown(self):
        self.open()
        self.answers([chunk("Hm.", warnings=[{"param": "moe", "message": "this model has no experts"}])])
        self.chat()
        self.assertEqual(self.last(".note").text_content(), "moe: this model has no experts")

    def own_server(self, *flags):
        """A server for this test alone."""
        if not hasattr(self.server, "program"):
            self.skipTest("only with a server that the test starts")
        self.server = harness.Server(self.server.program, *flags).wait_until_ready()
        self.addCleanup(self.server.stop)

    def test_key_is_asked_for_and_kept_for_the_session(self):
        self.own_server("--api-key", "sesame")
        self.allowed = ["401"]
        self.page.goto(self.server.url)
        self.page.locator("#key").fill("simsim")
        self.page.keyboard.press("Enter")
        self.until("document.getElementById('state').textContent === 'the key is not accepted'")
        self.page.locator("#key").fill("sesame")
        self.page.keyboard.press("Enter")
        self.until("document.getElementById('state').dataset.state === 'ready'")
        self.assertFalse(self.page.locator("#key-form").is_visible())
        self.limit(5)
        self.chat()
        self.assertGreater(len(self.last(".body").text_content()), 0)
        self.assertNotIn("sesame", self.page.evaluate("JSON.stringify(localStorage)"))

    def test_full_storage_is_told(self):
        self.open()
        self.limit(5)
        self.page.evaluate("""() => {
          let text = 'x'.repeat(1 << 20);
          for (let i = 0; text.length > 0; ++i) {
            try { localStorage.setItem('filler' + i, text); } catch { text = text.slice(text.length >> 1, -1); }
          }
        }""")
        self.chat()
        self.assertIn("storage is full", self.page.locator("#trouble").text_content())
        self.assertGreater(len(self.last(".body").text_content()), 0)

    def test_unreadable_conversation_stays(self):
        self.open()
        self.page.evaluate("localStorage.setItem('switchyard.chat.1', '{\"id\": \"1\", \"nodes\": [{\"parent\": 7}]}')")
        self.open()
        self.assertIn("1 conversation", self.page.locator("#trouble").text_content())
        self.assertIn("parent", self.page.evaluate("localStorage.getItem('switchyard.chat.1')"))

    def test_server_that_goes_away_is_found_again(self):
        self.own_server()
        self.allowed = ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET",
                        "ERR_EMPTY_RESPONSE"]
        self.open()
        program, port = self.server.program, self.server.port
        self.server.process.kill()
        self.until("document.getElementById('state').textContent.startsWith('server away')")
        self.limit(5)
        self.chat()
        self.assertEqual(self.last(".note").text_content(), "the server does not answer")
        self.server = harness.Server(program, "--port", port).wait_until_ready()
        self.addCleanup(self.server.stop)
        self.until("document.getElementById('state').dataset.state === 'ready'", timeout_s=20)
        self.page.locator("[data-act=regenerate]").click()
        self.wait_answer()
        self.assertGreater(len(self.last(".body").text_content()), 0)
