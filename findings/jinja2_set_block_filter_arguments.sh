#!/bin/bash
# SPDX-License-Identifier: MIT
# Jinja2 3.1.6: a variable among the arguments of a set block's filter is not seen by the analysis of scopes
# (FrameSymbolVisitor.visit_AssignBlock looks at the target alone). So a template does not compile where nothing else
# reads that variable: an AssertionError of the compiler, no TemplateSyntaxError. A filter block with the same filter
# does. And where the block sets the name that its filter reads, the filter finds it undefined, whatever the
# template's input has under that name: a plain set finds the input's.
#
# Needs Python 3 with venv and the package index. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install jinja2==3.1.6 markupsafe==3.0.3

cat >"$work/render.py" <<'PYTHON'
import jinja2

environment = jinja2.Environment()
for template in (
    "{% set a | default(b) %}{% endset %}{{ a }}",
    "{% set a | replace('x', b) %}x{% endset %}{{ a }}{{ b }}",
    "{% filter replace('x', b) %}x{% endfilter %}",
    "{{ caller }}{% set b | replace('x', b) %}x{% endset %}{{ b }}",
    "{% set b = 'x' | replace('x', b) %}{{ b }}",
):
    try:
        print(repr(environment.from_string(template).render(b="B")))
    except Exception as e:  # noqa: BLE001 -- the point is which one
        print(type(e).__name__)
PYTHON
seen=$("$work/venv/bin/python" "$work/render.py")
echo "$seen"
expected="AssertionError
'BB'
'B'
''
'B'"
[ "$seen" = "$expected" ] || { echo "changed"; exit 1; }
echo "as described"
