"""Values beside times: what a file may hold of them, and what is refused with its reason."""

from __future__ import annotations

import functools

import pytest

from cnnbench.errors import SchemaError
from cnnbench.facts import Algorithm, Ceilings

algorithm = functools.partial(Algorithm, "im2col", 9, 36, 0, 0)
ceilings = functools.partial(Ceilings, {}, dispatch_ns=900, threads=1)


def test_times_of_reorders_come_one_for_every_time_of_primitives_or_not_at_all() -> None:
    assert algorithm(primitive_ns=(5, 6), reorder_ns=(1, 2)).reorder_ns == (1, 2)
    assert algorithm(primitive_ns=(5, 6)).reorder_ns == ()
    with pytest.raises(SchemaError, match="primitive_ns and reorder_ns are of unequal length"):
        algorithm(primitive_ns=(5, 6), reorder_ns=(1,))


def test_a_rate_belongs_to_a_number_of_bytes() -> None:
    assert ceilings(bytes_per_s={"1024": 1e9}).bytes_per_s == {"1024": 1e9}
    with pytest.raises(SchemaError, match="bytes_per_s has a size that is not a number of bytes"):
        ceilings(bytes_per_s={"1 KiB": 1e9})
