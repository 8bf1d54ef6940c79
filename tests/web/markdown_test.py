# SPDX-License-Identifier: MIT
"""Markdown as the page draws it."""
from page_case import PageCase, chunk

# A node's elements as [tag, child...], its text as it is.
OUTLINE = """(root) => {
  const outline = (node) => (node.nodeType === Node.TEXT_NODE ? node.data
    : [node.tagName.toLowerCase() + (node.href ? ' ' + node.href : ''), ...[...node.childNodes].map(outline).filter((n) => n !== '')]);
  return outline(root).slice(1);
}"""

CASES = {
    "a *b* **c** ***d*** ~~e~~ `f`": [["p", "a ", ["em", "b"], " ", ["strong", "c"], " ", ["em", ["strong", "d"]], " ", ["del", "e"],
                                       " ", ["code", "f"]]],
    "**a *b* c**": [["p", ["strong", "a ", ["em", "b"], " c"]]],
    "snake_case_name 2 * 3 * 4 ** 5": [["p", "snake_case_name 2 * 3 * 4 ** 5"]],
    r"\*a\* \`b\`": [["p", "*a* `b`"]],
    "``a ` b``": [["p", ["code", "a ` b"]]],
    "one\ntwo\n\nthree": [["p", "one\ntwo"], ["p", "three"]],
    "# A\n## B ##\ntext": [["h3", "A"], ["h4", "B"], ["p", "text"]],
    "- a\n- b\n  - c\n  - d\n- e": [["ul", ["li", "a"], ["li", "b", ["ul", ["li", "c"], ["li", "d"]]], ["li", "e"]]],
    "3. a\n4. b": [["ol", ["li", "a"], ["li", "b"]]],
    "- a\n\n  b\n- c": [["ul", ["li", "a", ["p", "b"]], ["li", "c"]]],
    "> a\n> > b": [["blockquote", ["p", "a"], ["blockquote", ["p", "b"]]]],
    "---": [["hr"]],
    "```py\n*a*\n```\nb": [["figure", ["figcaption", ["span", "py"], ["button", "Copy"]], ["pre", ["code", "*a*"]]], ["p", "b"]],
    "~~~\n```\n~~~": [["figure", ["figcaption", ["span", "text"], ["button", "Copy"]], ["pre", ["code", "```"]]]],
    "```\nnot closed": [["figure", ["figcaption", ["span", "text"], ["button", "Copy"]], ["pre", ["code", "not closed"]]]],
    "|a|b|\n|-|:-:|\n|1|*2*|\n|3|": [["div", ["table", ["thead", ["tr", ["th", "a"], ["th", "b"]]],
                                         ["tbody", ["tr", ["td", "1"], ["td", ["em", "2"]]], ["tr", ["td", "3"], ["td"]]]]]],
    "[a](https://b.example/c) <https://d.example/>": [["p", ["a https://b.example/c", "a"], " ",
                                                       ["a https://d.example/", "https://d.example/"]]],
    "see https://a.example/b_(c). (https://d.example/)": [["p", "see ", ["a https://a.example/b_(c)", "https://a.example/b_(c)"], ". (",
                                                           ["a https://d.example/", "https://d.example/"], ")"]],
    "![a](https://b.example/c.png)": [["p", ["a https://b.example/c.png", "image: a"]]],
    "[a](javascript:b) [c](/d) <e>": [["p", "[a](javascript:b) [c](/d) <e>"]],
    "&amp; <b>c</b>": [["p", "&amp; <b>c</b>"]],
}


class Markdown(PageCase):
    def test_nodes(self):
        self.open()
        for source, expected in CASES.items():
            with self.subTest(source):
                self.assertEqual(self.show([source]), expected)

    def test_pieces_give_what_the_whole_gives(self):
        self.open()
        source = "\n\n".join(CASES)
        self.assertEqual(self.show(list(source)), self.show([source]))

    def show(self, pieces):
        self.page.unroute("**/v1/chat/completions")
        self.answers([chunk(piece) for piece in pieces])
        self.page.locator("#new-chat").click()
        self.chat()
        return self.page.evaluate(OUTLINE, self.last(".body").element_handle())
