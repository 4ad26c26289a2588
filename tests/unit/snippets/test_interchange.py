"""Files of snippets, well-formed and otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.snippets.core import Fallback
from services.snippets.interchange import MOST_FAULTS, read, write
from services.snippets.shelf import MOST, Draft, Snippet, drafted

HEADER = b"name,message,theme,missing\n"


def faults(content: bytes) -> list[tuple[int, str, str]]:
    return [(fault.line, fault.field, fault.code) for fault in read(content).faults]


def test_rows_are_read_with_their_policies() -> None:
    content = HEADER + b'Hi,Hello $contact.name,greet,\nBye,"Good, bye\nand ""so"" on",,fallback:you\nx,y,,omit\n'
    drafts = [row.draft for row in read(content).rows]
    assert [(one.name, one.message, one.theme, one.missing) for one in drafts] == [
        ("Hi", "Hello $contact.name", "greet", "block"),
        ("Bye", 'Good, bye\nand "so" on', None, Fallback("you")),
        ("x", "y", None, "omit"),
    ]
    assert [row.line for row in read(content).rows] == [2, 3, 5]


def test_columns_may_stand_in_any_order_and_the_optional_ones_be_left_out() -> None:
    [row] = read("\ufeffMessage, NAME\r\nHello,Hi\r\n".encode()).rows
    assert (row.draft.name, row.draft.message) == ("Hi", "Hello")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", [(1, "name", "MALFORMED")]),
        (b"name,text\n", [(1, "text", "MALFORMED")]),
        (b"name\nx\n", [(1, "message", "MALFORMED")]),
        (b"name,message,name\n", [(1, "", "MALFORMED")]),
        (HEADER + b"a,b\n", [(2, "", "MALFORMED")]),
        (HEADER + b'a,"b\n', [(2, "", "MALFORMED")]),
        (HEADER + b'a,b,,\nc,"d"e,,\n', [(3, "", "MALFORMED")]),
        (HEADER + b"a,b,,\n\xff,b,,\n", [(3, "", "MALFORMED")]),
        (HEADER + b",b,,\n", [(2, "name", "INVALID")]),
        (HEADER + b"a,,,\n", [(2, "message", "INVALID")]),
        (HEADER + b"a,b,,explode\n", [(2, "missing", "INVALID"), (2, "missing", "INVALID")]),
        (HEADER + b"a,$contact.shoe,,\n", [(2, "message", "UNKNOWN_VARIABLE")]),
        (HEADER + b'"a\n",b,,\nA,c,,\n', [(4, "name", "NAME_TAKEN")]),
        (HEADER + b"n" * 141 + b",b,,\n", [(2, "name", "INVALID")]),
    ],
)
def test_each_fault_names_its_line(content: bytes, wanted: list[tuple[int, str, str]]) -> None:
    assert faults(content) == wanted


def test_more_rows_than_a_workspace_holds_are_refused_without_being_kept() -> None:
    content = HEADER + b"".join(b"n%d,x,,\n" % number for number in range(MOST + 1))
    assert faults(content) == [(MOST + 2, "", "LIMIT_REACHED")]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (b"a\0,hello,,", "name"),
        (b"a,hel\0lo,,", "message"),
        (b"a,hello,t\0,", "theme"),
        (b"a,hello,,fallback:\0", "missing"),
    ],
)
def test_a_nul_is_a_fault(row: bytes, field: str) -> None:
    assert {(fault.line, fault.field, fault.code) for fault in read(HEADER + row).faults} == {(2, field, "INVALID")}


def test_faults_are_counted_out_at_a_hundred() -> None:
    assert len(read(HEADER + b",x,,\n" * 500).faults) == MOST_FAULTS


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_the_answer_is_rows_or_faults(content: bytes) -> None:
    for sheet in (read(content), read(HEADER + content)):
        assert all(fault.line >= 1 and fault.detail for fault in sheet.faults)
        assert sheet.faults or all(row.draft.name.strip() for row in sheet.rows)


names = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=20).filter(str.strip)
policies = st.one_of(
    st.sampled_from(["block", "literal", "omit"]),
    st.builds(Fallback, st.sampled_from(["", "you", "a,b", "there ", "\t", " x"])),
)


@given(st.lists(st.tuples(names, names, st.none() | names, policies), max_size=8, unique_by=lambda row: row[0].strip()))
def test_what_is_exported_and_read_again_is_the_same(rows: list[tuple[str, str, str | None, str | Fallback]]) -> None:
    drafts: dict[str, Draft] = {}
    for name, message, theme, missing in rows:
        draft = drafted(name, message.replace("$", ""), theme, missing)  # type: ignore[arg-type]
        if draft.message.strip():
            drafts.setdefault(draft.name_key, draft)
    snippets = [Snippet("acme", str(number), draft, 1, 0, "") for number, draft in enumerate(drafts.values())]
    again = read(write(snippets))
    assert again.faults == []
    assert [row.draft for row in again.rows] == [snippet.draft for snippet in snippets]
