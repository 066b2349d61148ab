"""What is said of a GPU's driver, by recorded texts."""

from __future__ import annotations

import pytest

from cnnbench.worker import environment

GCC = "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14+deb12u1)"


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023",
         "535.54.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build"
         "  (dvs-builder@U22-I3)", "580.65.06"),
        ("NVRM version: NVIDIA UNIX aarch64 Kernel Module  570.10  Wed", "570.10"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_version_of_either_kernel_module_is_found(line: str, version: str | None) -> None:
    assert environment.module_version(f"{line}\n{GCC}\n") == version


@pytest.mark.parametrize(("said", "found"), [("580.65.06", "580.65.06"), (None, "535.54.03")])
def test_the_driver_itself_is_asked_first(monkeypatch, said: str | None, found: str) -> None:
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue"
    monkeypatch.setattr(environment.nvml, "driver_version", lambda: said)
    monkeypatch.setattr(environment.machine, "read_text", lambda _path: text)

    assert environment._driver.__wrapped__() == found
