"""Rows -> CSV or Parquet, a portion at a time.

The one module that knows pyarrow, which only Parquet needs: ``pip install 'cnnbench[parquet]'``.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, BinaryIO

from cnnbench.errors import Unsupported
from cnnbench.report.csv import cell
from cnnbench.report.variables.rows import portions, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cnnbench.report.table import Value
    from cnnbench.report.variables.variable import Variable

# Rows of a portion: of records a megabyte or two.
PORTION = 1000


def as_csv(variables: Sequence[Variable], rows: Iterable[object]) -> Iterator[str]:
    """CSV (RFC 4180): a header, then the rows; what is missing is empty.

    A text that a spreadsheet would run has an apostrophe before it, and control characters are
    written as escapes; in Parquet they are as in the record.
    """
    yield _lines([[one.name for one in variables]])
    for some in portions(values(variables, rows), PORTION):
        yield _lines([[_cell(one) for one in row] for row in some])


def _cell(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else cell(value)


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


def refuse_parquet() -> None:
    """Say what to install where Parquet cannot be written.

    Raises:
        Unsupported: pyarrow is not installed.
    """
    _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise Unsupported(
            "Parquet needs pyarrow; install it with: pip install 'cnnbench[parquet]'"
        ) from None
    return pyarrow


def write_parquet(variables: Sequence[Variable], rows: Iterable[object], file: BinaryIO) -> None:
    """Parquet, a row group for each portion; unit and meaning are the metadata of a column.

    Raises:
        Unsupported: pyarrow is not installed.
    """
    arrow = _pyarrow()
    kinds = {
        "text": arrow.string(), "integer": arrow.int64(), "number": arrow.float64(),
        "truth": arrow.bool_(),
    }  # fmt: skip
    told = ("unit", "meaning", "source", "empty")
    schema = arrow.schema(
        arrow.field(one.name, kinds[one.type], metadata={key: getattr(one, key) for key in told})
        for one in variables
    )
    with arrow.parquet.ParquetWriter(file, schema) as writer:
        for some in portions(values(variables, rows), PORTION):
            columns = [
                arrow.array(column, kind.type)
                for column, kind in zip(zip(*some, strict=True), schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(columns, schema=schema))
