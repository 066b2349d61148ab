"""Records as data for statistics: one row per record or slice, one column per variable.

One table of variables (``records``, ``slices``) makes the columns, their types in Parquet, the
frames of the Python API and the data dictionary.
"""

from __future__ import annotations

from cnnbench.report.variables.dictionary import DICTIONARY, TABLES, explained
from cnnbench.report.variables.rows import ROWS, records_of

__all__ = ["DICTIONARY", "ROWS", "TABLES", "explained", "records_of"]
