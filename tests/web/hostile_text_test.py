# SPDX-License-Identifier: MIT
"""Text that wants to be more than text, in every place where the page shows some."""
import itertools
import json

from page_case import PageCase, chunk

N_STRING = 1000
CALL = "window.hit=1"
# What carries a call into a page, and what breaks out of the place that it lands in.
CARRIERS = [
    "<script>{}</script>", "<img src=x onerror={}>", "<svg onload={}>", "<svg><script>{}</script></svg>",
    "<iframe srcdoc='<script>parent.{}</script>'></iframe>", "<body onload={}>", "<input autofocus onfocus={}>",
    "<details open ontoggle={}><summary>x</summary></details>", "<video><source onerror={}></video>",
    "<a href='javascript:{}'>x</a>", "[x](javascript:{})", "![x](javascript:{})", "<javascript:{}>", "[x](data:text/html,{})",
    "[x](JaVaScRiPt:{})", "[x](java\tscript:{})", "[x](vbscript:{})", "[x](&#106;avascript:{})", "![x](https://example.org/{})",
    "<math><mtext><style><img src onerror={}></style></mtext></math>", "<object data='javascript:{}'></object>",
    "<form action='javascript:{}'><button>x</button></form>", "<meta http-equiv=refresh content='0;javascript:{}'>",
    "<link rel=stylesheet href='javascript:{}'>", "<base href='javascript:{}//'>", "<template><script>{}</script></template>",
    "<x style='animation:a' onanimationstart={}>", "{{{{constructor.constructor('{}')()}}}}", "${{{}}}", "`${{{}}}`",
    "[x](https://example.org/\"onmouseover=\"{})", "<b onmouseover={}>", "<marquee onstart={}>",
]
PREFIXES = ["", "\">", "'>", "-->", "</textarea>", "</title>", "</style>", "]]>", "`", "```html\n", "> ", "- ", "| a |\n|-|\n| ", "# ",
            "**", "\\", "\u2028", "%3Cscript%3E", "&lt;", "<!--", "<plaintext>", "\u202e", "*_~[", "[a](b)[", "\0", "\ufffd",
            "</p><p>", "<b>", "<i x=", "<a href=x>", "\r\n\r\n"]
STRINGS = [prefix + carrier.format(CALL) for prefix, carrier in itertools.product(PREFIXES, CARRIERS)][:N_STRING]
MARKS = ["*", "_", "`", "[", "](", "![", "<", ">", "> ", "- ", "1. ", "#", "|", "~", "\\", "**a ", "*a", "`a``", "[a](", "http://",
         "http://a ", "_a", "  ", "\n- ", "\n> ", "\n  - ", "|-|\n", "```\n", "a\n"]

# What a message may consist of.
CHECK = """(root) => {
  const allowed = new Set(['ARTICLE','DIV','P','SPAN','BUTTON','DETAILS','SUMMARY','UL','OL','LI','A','CODE','PRE','FIGURE','FIGCAPTION',
                           'TABLE','THEAD','TBODY','TR','TH','TD','EM','STRONG','DEL','BLOCKQUOTE','HR','H3','H4','H5','H6']);
  const bad = [];
  for (const element of root.querySelectorAll('*')) {
    if (!allowed.has(element.tagName)) bad.push(element.tagName);
    for (const {name, value} of element.attributes) {
      if (name.startsWith('on')) bad.push(name);
      if (name === 'href' && !/^https?:/.test(value)) bad.push(value);
      if (name === 'href' && element.rel !== 'noopener noreferrer') bad.push('rel of ' + value);
    }
  }
  return bad;
}"""


class HostileText(PageCase):
    def assert_harmless(self):
        self.assertEqual(len(STRINGS), N_STRING)
        self.page.wait_for_timeout(300)
        self.assertIsNone(self.page.evaluate("window.hit ?? null"))
        self.assertEqual(self.page.evaluate(CHECK, self.page.locator("#messages").element_handle()), [])

    def test_in_stored_conversations(self):
        """As messages of users and of models, as reasoning, and as titles."""
        nodes = []
        for i, text in enumerate(STRINGS):
            nodes.append({"role": "user", "text": text, "parent": 2 * i - 1, "picked": 2 * i + 1})
            nodes.append({"role": "assistant", "text": text, "reasoning": text, "error": text, "parent": 2 * i,
                          "picked": 2 * i + 2 if i + 1 < N_STRING else -1})
        self.open()
        self.page.evaluate("""([nodes, titles]) => {
          localStorage.setItem('switchyard.chat.0', JSON.stringify({id: '0', title: 'All', system: '', changed: 9e15, nodes, picked: 0}));
          titles.forEach((title, i) => localStorage.setItem('switchyard.chat.t' + i, JSON.stringify(
            {id: 't' + i, title, system: title, changed: i, nodes: [], picked: -1})));
        }""", [nodes, STRINGS])
        self.open()
        titles = self.page.locator("#chat-list > li > button").all_text_contents()
        self.assertEqual(sorted(titles), sorted([*STRINGS, "All"]))
        self.page.locator("#chat-list > li > button").first.click()
        self.assertEqual(self.page.locator("#messages .user .body").all_text_contents(), STRINGS)
        self.assertEqual(self.page.locator("#messages .reasoning-text").all_text_contents(), STRINGS)
        self.assertEqual(self.page.locator("#messages .assistant .note").all_text_contents(), STRINGS)
        # Markdown takes its marks away, and leaves all the rest.
        for shown, text in zip(self.page.locator("#messages .assistant .body").all_text_contents(), STRINGS):
            self.assertTrue("hit=1" in shown or "](https://" in text, text)  # of a link its label is shown
        self.assert_harmless()

    def test_on_the_wire(self):
        """In pieces of an answer, as tokens, as code, as the echo and as errors."""
        self.open()
        tokens = [{"token": i, "text": text, "layers": [{"layer": 1, "experts": [0], "weights": [1.0]}]} for i, text in enumerate(STRINGS)]
        events = [chunk(text + "\n\n", moe={"experts_prefill": text, "experts_decode": text, "threshold": [text, text]},
                        warnings=[{"param": text, "message": text}]) for text in STRINGS]
        for event, token in zip(events, tokens):
            event["choices"][0]["routing"] = [token]
        self.answers(events)
        self.chat(STRINGS[0])
        self.assert_harmless()
        self.page.locator("[data-act=tokens]").click()
        self.assertEqual(self.page.locator(".token").all_text_contents(), STRINGS)
        self.assert_harmless()
        self.allowed = ["400"]
        self.page.unroute("**/v1/chat/completions")
        self.answers({"error": {"message": STRINGS[1], "param": STRINGS[2]}}, status=400)
        self.chat(STRINGS[3])
        self.assertEqual(self.last(".note").text_content(), f"{STRINGS[1]} ({STRINGS[2]})")
        self.assert_harmless()

    def test_as_the_models_name(self):
        name = "<img src=x onerror=window.hit=1>"
        self.page.route("**/v1/models", lambda route: route.fulfill(json={"data": [{"id": name}]}))
        self.open()
        self.assertEqual(self.page.locator("#model").text_content(), name)
        self.assert_harmless()

    def test_policy_stands_behind_the_page(self):
        """Were there a way in after all, the browser would run nothing and fetch nothing."""
        with self.page.expect_response(self.server.url + "/") as response:
            self.open()
        self.assertLess(len(response.value.body()), 100000, "bytes: a page, not an application")
        policy = response.value.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        for loose in ("unsafe-inline", "unsafe-eval", "*", "http:", "https:"):
            self.assertNotIn(loose, policy)
        self.allowed = ["Content Security Policy", "TrustedHTML", "TrustedScript"]
        refused = self.page.evaluate("""async () => {
          const element = document.createElement('div');
          let html = false;
          try { element.innerHTML = '<b>x</b>'; } catch { html = true; }
          let elsewhere = false;
          try { await fetch('http://127.0.0.1:9/'); } catch { elsewhere = true; }
          let handler = false;
          try { element.setAttribute('onclick', 'window.hit=1'); } catch { handler = true; }
          return [html, elsewhere, handler];
        }""")
        self.requests = [url for url in self.requests if url != "http://127.0.0.1:9/"]
        self.assertEqual(refused, [True, True, True])
        self.assertIsNone(self.page.evaluate("window.hit ?? null"))

    def test_no_text_takes_long(self):
        """Many marks that open something and never close it, or close it at once."""
        self.open()
        for mark in MARKS:
            took = {length: self.draw(mark * (length // len(mark))) for length in (10000, 100000)}
            # Ten times the text may take ten times as long, but not a hundred times. Short times say nothing.
            self.assertTrue(took[100000] < 2000 or took[100000] < 40 * took[10000], f"{mark!r}: {took}")

    def draw(self, text):
        """Milliseconds until the page shows an answer."""
        return self.page.evaluate("""async (body) => {
          const real = window.fetch;
          window.fetch = async (path, options) => (options?.body ? new Response(body) : real(path, options));
          document.getElementById('prompt').value = 'x';
          const began = performance.now();
          document.getElementById('composer').requestSubmit();
          await new Promise((resolve) => setTimeout(resolve, 0));
          while (document.getElementById('send').hidden) await new Promise((resolve) => setTimeout(resolve, 10));
          document.getElementById('messages').offsetHeight;
          window.fetch = real;
          const took = performance.now() - began;
          document.getElementById('new-chat').click();
          return took;
        }""", f"data: {json.dumps(chunk(text))}\n\ndata: [DONE]\n\n")
