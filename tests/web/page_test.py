# SPDX-License-Identifier: MIT
"""The page as a user meets it, with a model that answers."""
import json

from page_case import SENT, PageCase, chunk

MAP_PIXELS = "document.getElementById('map').toDataURL()"
TOKENS_SINCE_START = "parseInt(document.getElementById('map-readout').textContent.replaceAll(',', ''), 10)"


class Chat(PageCase):
    def test_answer_streams_in_with_what_it_cost(self):
        self.open()
        self.limit(40)
        self.chat()
        self.assertGreater(len(self.last(".body").text_content()), 20)
        facts = self.last(".facts").text_content()
        for part in ("4 experts", "groups on", "40 tokens", "t/s", "TTFT", "prompt", "cut at the limit"):
            self.assertIn(part, facts)

    def test_conversations_stay_in_the_browser(self):
        self.open()
        self.limit(20)
        self.chat()
        said = self.last(".body").text_content()
        self.open()
        self.page.locator("#chat-list button", has_text=SENT).click()
        self.assertEqual(self.last(".body").text_content(), said)
        self.chat("And then?")
        self.assertEqual(self.page.locator("#messages article").count(), 4)
        with self.page.expect_download() as download:
            self.page.locator("#chat-list button", has_text="Export").click()
        (kept,) = json.loads(download.value.path().read_text())["conversations"]
        self.assertEqual([node["role"] for node in kept["nodes"]], ["user", "assistant"] * 2)
        delete = self.page.locator("#chat-list [data-act=delete]")
        delete.click()
        self.assertEqual(self.page.locator("#messages article").count(), 4, "one press must not delete")
        delete.click()
        self.assertEqual(self.page.locator("#messages article").count(), 0)
        self.assertEqual(self.page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('switchyard.chat.'))"), [])

    def test_deleted_conversation_does_not_come_back(self):
        self.open()
        self.chat_without_end()
        for _ in range(2):
            self.page.locator("#chat-list [data-act=delete]").click()
        self.wait_answer()
        self.page.wait_for_timeout(300)
        self.assertEqual(self.page.locator("#chat-list > li").count(), 0)
        self.open()
        self.assertEqual(self.page.locator("#chat-list > li").count(), 0)

    def test_stop_ends_the_answer_and_the_work(self):
        self.open()
        self.chat_without_end()
        self.page.locator("#stop").click()
        self.wait_answer()
        self.assertIn("stopped", self.last(".facts").text_content())
        said = self.last(".body").text_content()
        self.assertNotEqual(said, "")
        self.page.wait_for_timeout(500)
        self.assertEqual(self.last(".body").text_content(), said)
        self.until("document.querySelector('#charts').textContent.includes('running 0')")

    def test_escape_stops_too(self):
        self.open()
        self.chat_without_end()
        self.page.keyboard.press("Escape")
        self.wait_answer()
        self.assertIn("stopped", self.last(".facts").text_content())

    def chat_without_end(self):
        """An answer that is still coming when this returns: end tokens are forbidden."""
        self.page.evaluate("""() => {
          const real = window.fetch;
          window.fetch = (path, options) => real(path, options && options.body
            ? {...options, body: JSON.stringify({...JSON.parse(options.body), ignore_eos: true})} : options);
        }""")
        self.page.locator("#prompt").fill(SENT)
        self.page.locator("#prompt").press("Enter")
        self.until("document.querySelector('#messages .assistant .body').textContent.length > 10")

    def test_regenerate_keeps_both_answers(self):
        self.open()
        self.limit(30)
        self.chat()
        first = self.last(".body").text_content()
        self.page.locator("[data-act=regenerate]").click()
        self.wait_answer()
        second = self.last(".body").text_content()
        self.assertIn("2/2", self.last(".actions").text_content())
        self.page.get_by_label("Previous version").click()
        self.assertEqual(self.last(".body").text_content(), first)
        self.page.get_by_label("Next version").click()
        self.assertEqual(self.last(".body").text_content(), second)

    def test_edit_keeps_the_old_message(self):
        self.open()
        self.limit(10)
        self.chat()
        self.page.locator("[data-act=edit]").click()
        self.page.get_by_label("Edited message").fill("Tell me a story about a king.")
        self.page.get_by_label("Edited message").press("Enter")
        self.wait_answer()
        user = self.page.locator("#messages .user .body")
        self.assertEqual(user.all_text_contents(), ["Tell me a story about a king."])
        self.page.get_by_label("Previous version").click()
        self.assertEqual(user.all_text_contents(), [SENT])

    def test_link_fills_the_message_but_never_sends_it(self):
        self.open("?q=rm%20-rf")
        self.assertEqual(self.page.locator("#prompt").input_value(), "rm -rf")
        self.page.wait_for_timeout(500)
        self.assertFalse([url for url in self.requests if "completions" in url])

    def test_reasoning_is_folded(self):
        self.open()
        reasoning = {"choices": [{"index": 0, "delta": {"reasoning_content": "First I think."}}]}
        self.answers([reasoning, chunk("Then I speak.")])
        self.chat()
        self.assertFalse(self.last(".reasoning-text").is_visible())
        self.last("summary").click()
        self.assertEqual(self.last(".reasoning-text").text_content(), "First I think.")
        self.assertEqual(self.last(".body").text_content(), "Then I speak.")


class Routing(PageCase):
    def sent(self):
        """The body of the request for the next answer."""
        with self.page.expect_request("**/v1/chat/completions") as request:
            self.chat()
        return request.value.post_data_json

    def test_sliders_change_what_is_used(self):
        self.open()
        self.limit(10)
        self.assertNotIn("experts_decode", self.sent()["moe"])
        self.assertIn("4 experts", self.last(".echo").text_content())
        self.page.locator("#set-experts_decode").focus()
        for _ in range(2):
            self.page.keyboard.press("ArrowRight")
        self.assertEqual(self.sent()["moe"]["experts_decode"], 2)
        self.assertIn("4 prefill, 2 decode", self.last(".echo").text_content())
        self.page.locator("#set-experts_prefill").focus()
        self.page.keyboard.press("ArrowRight")
        self.page.get_by_role("radio", name="Off").click()
        self.page.locator("#set-threshold").focus()
        for _ in range(4):
            self.page.keyboard.press("ArrowRight")
        moe = self.sent()["moe"]
        self.assertEqual((moe["experts_prefill"], moe["grouped"], moe["threshold"]), (1, False, [1, 0.2]))
        echo = self.last(".echo").text_content()
        for part in ("1 prefill, 2 decode", "groups off", "threshold 1, 0.2"):
            self.assertIn(part, echo)
        self.page.locator("#reset-routing").click()
        self.assertEqual(self.sent()["moe"], {"return_routing": True})

    def test_settings_by_layer_and_masks(self):
        self.open()
        self.limit(8)
        self.page.locator("#by-layer summary").click()
        self.page.locator("#set-layers_prefill").fill("1-2=3")
        self.page.locator("#set-layers_decode").fill("1=2, 3-4 = 1")
        self.page.locator("#set-experts_decode").focus()
        for _ in range(3):
            self.page.keyboard.press("ArrowRight")
        self.page.locator("#set-mask").fill("5: 0-2, 2, 12; 1:3")
        moe = self.sent()["moe"]
        self.assertEqual(moe["experts_prefill"], [[1, 2, 3]])
        self.assertEqual(moe["experts_decode"], [[1, 1, 2], [3, 4, 1], [1, 5, 3]])
        self.assertEqual(moe["mask"], {"1": [3], "5": [0, 1, 2, 12]})
        echo = self.last(".echo").text_content()
        for part in ("3 in layers 1-2, 4 in layers 3-5 prefill", "1 in layers 3-4", "masks in layers 1, 5"):
            self.assertIn(part, echo)
        self.page.reload()
        self.until("document.getElementById('set-mask')?.disabled === false")
        self.assertEqual(self.page.locator("#set-mask").input_value(), "5: 0-2, 2, 12; 1:3", "kept")
        self.assertTrue(self.page.locator("#set-mask").is_visible(), "open where something is set")
        self.page.locator("#reset-routing").click()
        self.assertEqual(self.sent()["moe"], {"return_routing": True})

    def test_wrong_settings_by_layer_say_what_is_wrong(self):
        self.open()
        self.page.locator("#by-layer summary").click()
        for name, text, words in [
                ("layers_decode", "1-3", "as 1-3=2, not “1-3”"),
                ("layers_decode", "1-3=0", "Experts: a whole number from 1 to"),
                ("layers_decode", "0-3=1", "Layers: a whole number from 1 to 5, not “0”"),
                ("layers_decode", "3-1=1", "from the smaller to the larger"),
                ("layers_prefill", "1=1=1", "as 1-3=2"),
                ("layers_prefill", "x=1", "not “x”"),
                ("mask", "5", "as 5: 0-7, 12"),
                ("mask", "5:", "no experts are named"),
                ("mask", "6: 1", "Layer: a whole number from 1 to 5"),
                ("mask", "5: 1, 99999", "Experts of layer 5: a whole number from 0 to")]:
            field, problem = self.page.locator(f"#set-{name}"), self.page.locator(f"#set-{name}-problem")
            field.fill(text)
            self.assertIn(words, problem.text_content(), text)
            self.page.locator("#prompt").fill(SENT)
            self.page.locator("#prompt").press("Enter")
            self.assertIn(words, self.page.locator("#trouble").text_content(), text)
            self.assertEqual(self.page.locator("#messages article").count(), 0)
            self.assertEqual(self.page.evaluate("document.activeElement.id"), f"set-{name}")
            field.fill("")
            self.assertEqual(problem.text_content(), "")

    def test_a_mask_that_leaves_too_few_is_the_servers_to_refuse(self):
        self.open()
        self.page.locator("#by-layer summary").click()
        self.page.locator("#set-mask").fill("5: 0-30")
        self.allowed.append("400")
        self.page.locator("#prompt").fill(SENT)
        self.page.locator("#prompt").press("Enter")
        self.until("document.getElementById('trouble').textContent.includes('mask') || "
                   "document.querySelector('#messages .assistant')?.textContent.includes('mask')")

    def test_map_moves(self):
        self.open()
        self.page.wait_for_timeout(1000)
        before, counted = self.page.evaluate(MAP_PIXELS), self.page.evaluate(TOKENS_SINCE_START)
        self.limit(60)
        self.chat()
        self.until(f"{TOKENS_SINCE_START} >= {counted or 0} + 60")
        self.assertNotEqual(self.page.evaluate(MAP_PIXELS), before)

    def test_tokens_show_their_experts(self):
        self.open()
        self.limit(30)
        self.chat()
        said = self.last(".body").text_content()
        self.page.locator("[data-act=tokens]").click()
        self.assertEqual("".join(self.last(".tokens").text_content().replace("\u00b7", "").split()), "".join(said.split()))
        unmarked = self.page.evaluate(MAP_PIXELS)
        self.page.locator(".token").nth(3).hover()
        rows = self.page.locator("#token-routes tr")
        self.assertEqual(rows.count(), 5, "layers with experts")
        self.assertEqual(self.page.locator("#token-routes .slot").count(), 5 * 4)
        self.page.wait_for_timeout(200)
        self.assertNotEqual(self.page.evaluate(MAP_PIXELS), unmarked, "the token's experts are marked")
        # A pinned expert shades just the tokens that it worked on.
        expert = int(self.page.locator("#token-routes tr").first.locator(".expert").first.text_content())
        self.page.locator("#map").focus()
        for _ in range(expert + 1):
            self.page.keyboard.press("ArrowRight")
        self.page.keyboard.press("Enter")
        self.assertIn(f"layer 1, expert {expert}:", self.page.locator("#map-readout").text_content())
        self.assertIn("hit", self.page.locator(".token").nth(3).get_attribute("class"))

    def test_identity_experts_are_told_apart(self):
        """Four tokens in a layer of four experts and two identity experts, two slots each."""
        layer = {"layer": 3, "n_expert": 4, "n_tokens": 4, "counts": [2, 1, 1, 1, 0, 3], "real_per_token": [0, 3, 1]}
        server = dict.fromkeys(["n_running", "n_waiting", "generation_tokens_total", "prompt_tokens_total",
                                "kv_cache_usage", "prefix_cache_hits", "prefix_cache_queries"], 0)
        self.page.route("**/v1/moe", lambda route: route.fulfill(
            body=f"data: {json.dumps({'layers': [layer], 'server': server})}\n\n", content_type="text/event-stream"))
        self.open()
        # (3 x 1 + 1 x 2) / 4; the busiest has 2 of 5 uses of experts with weights, whose mean is 5 / 4.
        self.until("document.getElementById('real-readout').textContent.startsWith('1.25 on average')")
        self.assertEqual(self.page.locator("#map-readout").text_content(),
                         "4 tokens since start; busiest: layer 3, expert 0, 1.60 x the mean")
        self.page.locator("#map").focus()
        for _ in range(6):
            self.page.keyboard.press("ArrowRight")
        self.assertEqual(self.page.locator("#map-readout").text_content(),
                         "layer 3, identity expert 1: 3 tokens, 2.40 x the mean")

    def test_setting_out_of_range_is_refused_in_words(self):
        self.open()
        self.limit(0)
        self.page.locator("#prompt").fill(SENT)
        self.page.locator("#prompt").press("Enter")
        self.assertIn("Most tokens", self.page.locator("#trouble").text_content())
        self.assertEqual(self.page.locator("#prompt").input_value(), SENT, "nothing is lost")
        self.assertEqual(self.page.locator("#messages article").count(), 0)


class Phone(PageCase):
    viewport = {"width": 360, "height": 740}
    WIDE = "word " * 40 + "\n\n" + "x" * 400 + "\n\n```\n" + "y" * 400 + "\n```\n\n|a|b|\n|-|-|\n|" + "z" * 300 + "|1|\n"

    def test_nothing_scrolls_sideways(self):
        self.open()
        self.answers([chunk(self.WIDE)])
        self.chat("w" * 300)
        self.assert_fits()
        for drawer in ("panel", "chats"):
            self.page.locator(f"#open-{drawer}").click()
            self.assertTrue(self.page.locator(f"#{drawer}").is_visible())
            self.assert_fits()
            self.page.keyboard.press("Escape")
            self.assertFalse(self.page.locator(f"#{drawer}").is_visible())

    def assert_fits(self):
        for element in ("document.documentElement", "document.getElementById('messages')", "document.getElementById('panel')"):
            self.assertLessEqual(*self.page.evaluate(f"[{element}.scrollWidth, Math.max({element}.clientWidth, 1)]"), element)


class Keyboard(PageCase):
    def test_keys(self):
        self.open()
        self.limit(10)
        focused = "document.activeElement.id"
        self.page.locator("h1").click()
        self.page.keyboard.press("/")
        self.assertEqual(self.page.evaluate(focused), "prompt")
        self.page.keyboard.type("n/m?")
        self.assertEqual(self.page.locator("#prompt").input_value(), "n/m?", "letters in a field are text")
        self.page.locator("h1").click()
        self.page.keyboard.press("m")
        self.assertEqual(self.page.evaluate(focused), "map")
        self.page.keyboard.press("?")
        self.assertTrue(self.page.locator("#keys").is_visible())
        self.page.locator("#single-keys").uncheck()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("x")
        self.assertEqual(self.page.evaluate(focused), "map", "letters do nothing now")

    def test_tab_reaches_everything(self):
        self.open()
        self.limit(10)
        self.chat()
        reached = set()
        for _ in range(80):
            self.page.keyboard.press("Tab")
            reached.add(self.page.evaluate("document.activeElement.id || document.activeElement.dataset.act || ''"))
        for target in ("theme", "help", "new-chat", "prompt", "send", "map", "set-experts_prefill", "set-experts_decode",
                       "set-threshold", "edit", "regenerate", "tokens", "delete"):
            self.assertIn(target, reached)


class Themes(PageCase):
    def test_text_is_readable_in_both(self):
        self.open()
        for theme in ("light", "dark"):
            self.page.locator("#theme").click()
            colors = self.page.evaluate("""(names) => Object.fromEntries(names.map((name) =>
                [name, getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()]))""",
                ["bg", "panel", "raised", "text", "dim", "accent", "link", "bad", "on-accent"])
            self.assertIn(theme, self.page.locator("#theme").text_content())
            for text in ("text", "dim", "accent", "link", "bad"):
                for ground in ("bg", "panel"):
                    self.assertGreaterEqual(contrast(colors[text], colors[ground]), 4.5, f"{text} on {ground}, {theme}")
            self.assertGreaterEqual(contrast(colors["on-accent"], colors["accent"]), 4.5)


def contrast(a, b):
    """The ratio of two colors' luminances, as WCAG 2 defines it."""
    def luminance(color):
        parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
