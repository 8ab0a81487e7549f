from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from pgsnap.web.reports.markdown import code
from pgsnap.words import plain


@given(st.text(alphabet="ab `|\\*_[]()<>&#@!~\n\u202e:/.") | st.text())
def test_a_code_span_shows_the_text_and_nothing_else(text: str) -> None:
    found = code(text)
    if not plain(text).strip():
        assert found == ""
    elif found.startswith("`"):
        assert found == f"`{plain(text)}`"
        assert not set("`|\n") & set(found[1:-1])
    else:
        inner = re.fullmatch(r"<code>([^<>`|*\[\]\\@~_!]*)</code>", found)
        assert inner is not None
        assert html.unescape(inner[1]) == plain(text)
