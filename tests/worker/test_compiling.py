"""Where compilers keep what they made."""

from __future__ import annotations

import os

from cnnbench.worker import compiling


def test_the_first_round_finds_no_kernels_in_the_users_own_cache(tmp_path, monkeypatch) -> None:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "of the user")
    folder = tmp_path / "compiled"

    assert compiling.compile_cache(None) is None
    assert os.environ["TRITON_CACHE_DIR"] == "of the user"
    assert compiling.compile_cache(str(folder)) == "cold"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert os.environ["TRITON_CACHE_DIR"] == str(folder / "triton")
    folder.mkdir()
    assert compiling.compile_cache(str(folder)) == "warm"
