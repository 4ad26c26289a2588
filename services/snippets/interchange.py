"""Snippets as CSV (RFC 4180), columns `name,message,theme,missing`: reading with faults by line, writing. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from services.snippets.bodies import SnippetBody
from services.snippets.core import Fallback, Missing, UnknownVariable
from services.snippets.shelf import MOST, NO_ROOM, Draft, Snippet, drafted

COLUMNS = ("name", "message", "theme", "missing")
REQUIRED = ("name", "message")
MOST_FAULTS = 100
TOLD_EVERY = 500
FALLBACK = "fallback:"


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` counts from 1, the header's; a row that has several lines is named by its first one."""

    line: int
    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    draft: Draft


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says. Where there are faults, the first hundred of them, and the rows are of no use."""

    rows: list[Row]
    faults: list[Fault]


def read(content: bytes, tell: Callable[[int], None] = lambda rows: None) -> Sheet:
    """Never raises: whatever the bytes are, the faults say what to mend. `tell`: how many rows were read."""
    rows: list[Row] = []
    faults: list[Fault] = []
    names: dict[str, int] = {}
    try:
        for line, fields in _rows(content.decode("utf-8-sig")):
            found = _row(line, fields)
            if isinstance(found, Row):
                found = _once(found, names)
            if isinstance(found, Row):
                rows.append(found)
                if not len(rows) % TOLD_EVERY:
                    tell(len(rows))
            else:
                faults += found
    except UnicodeDecodeError as error:
        faults.append(Fault(content[: error.start].count(b"\n") + 1, "", "MALFORMED", "The file is not UTF-8."))
    except _Broken as broken:
        faults.append(broken.fault)
    return Sheet(rows, faults[:MOST_FAULTS])


def write(snippets: Iterable[Snippet]) -> bytes:
    """Reading it again changes nothing."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for snippet in snippets:
        draft = snippet.draft
        writer.writerow((draft.name, draft.message, draft.theme or "", _policy_text(draft.missing)))
    return text.getvalue().encode()


class _Broken(Exception):
    """The rest of the file can't be read."""

    def __init__(self, line: int, field: str, detail: str, code: str = "MALFORMED") -> None:
        super().__init__(detail)
        self.fault = Fault(line, field, code, detail)


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each row's first line, and its fields by column."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line, count = 1, 0
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(header)
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                count += 1
                if count > MOST:
                    raise _Broken(line, "", NO_ROOM, "LIMIT_REACHED")
                if len(cells) != len(header):
                    raise _Broken(line, "", f"The row has {len(cells)} columns instead of {len(header)}.")
                yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _Broken(line, "", f"The row can't be read: {error}.") from None


def _check_header(header: list[str]) -> None:
    if unknown := [name for name in header if name not in COLUMNS]:
        raise _Broken(1, unknown[0][:100], f"The columns are {', '.join(COLUMNS)}; the first line names them.")
    if lacking := [name for name in REQUIRED if name not in header]:
        raise _Broken(1, lacking[0], f"The first line names the columns, and there is no `{lacking[0]}`.")
    if len(set(header)) != len(header):
        raise _Broken(1, "", "The first line names a column twice.")


def _row(line: int, fields: Mapping[str, str]) -> Row | list[Fault]:
    missing = fields.get("missing", "").lstrip()
    policy: object = missing.rstrip() or "block"
    if missing.startswith(FALLBACK):
        policy = {"fallback": missing.removeprefix(FALLBACK)}
    content = {"name": fields["name"], "message": fields["message"], "theme": fields.get("theme") or None}
    try:
        body = SnippetBody.model_validate({**content, "missing": policy})
        return Row(line, drafted(body.name, body.message, body.theme, body.policy))
    except ValidationError as invalid:
        return [Fault(line, str(fault["loc"][0]), "INVALID", fault["msg"]) for fault in invalid.errors()[:4]]
    except UnknownVariable as unknown:
        return [Fault(line, "message", "UNKNOWN_VARIABLE", str(unknown))]


def _once(row: Row, names: dict[str, int]) -> Row | list[Fault]:
    first = names.setdefault(row.draft.name_key, row.line)
    if first == row.line:
        return row
    return [Fault(row.line, "name", "NAME_TAKEN", f"Line {first} has this name already.")]


def _policy_text(missing: Missing) -> str:
    return FALLBACK + missing.text if isinstance(missing, Fallback) else missing
