"""What BASE and HEAD stand for, and where the code of each comes from."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench.errors import UsageError
from cnnbench.runner import origin
from cnnbench.runner.ab import revisions, sides
from cnnbench.runner.ab.sides import Named
from cnnbench.runner.origin import Origin
from tests.made import commit, repository


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits; branches of names that mean something else too."""
    path = repository(tmp_path / "repo", {"net.py": "1\n", "src/pkg/__init__.py": ""}, tag="v1")
    commit(path, {"net.py": "2\n"})
    monkeypatch.chdir(path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return path.resolve()


@pytest.mark.parametrize(
    ("word", "kind", "value"),
    [
        ("main", "rev", "main"),
        ("HEAD~1", "rev", "HEAD~1"),
        ("v1", "rev", "v1"),
        ("rev:v1", "rev", "v1"),
        (".", "worktree", ""),
        ("worktree:", "worktree", ""),
        ("resnet18", "model", "resnet18"),
        ("mypkg.nets:tiny", "model", "mypkg.nets:tiny"),
        ("model:resnet18", "model", "resnet18"),
        ("eager", "mode", "eager"),
        ("amp", "mode", "amp"),
        ("tf32", "mode", "tf32"),
        ("compile+channels_last", "mode", "compile+channels_last"),
        ("mode:eager", "mode", "eager"),
    ],
)
def test_a_word_is_a_revision_a_model_or_a_mode(
    repo: Path, word: str, kind: str, value: str
) -> None:
    found = sides.named(word, repo)

    assert (found.kind, found.value) == (kind, value)


def test_a_revision_comes_first_and_a_prefix_decides(repo: Path) -> None:
    from tests.made import git

    git(repo, "branch", "resnet18")

    assert sides.named("resnet18", repo).kind == "rev"
    assert sides.named("model:resnet18", repo).kind == "model"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("mian", "unknown revision, model or mode 'mian'; did you mean main"),
        ("rev:mian", "unknown revision 'mian'; did you mean main"),
        ("model:resnet81", "unknown model 'resnet81'; did you mean resnet18"),
        ("mode:eagre", "unknown mode 'eagre'; did you mean eager"),
    ],
)
def test_a_name_of_nothing_offers_the_closest(repo: Path, word: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        sides.named(word, repo)
    assert str(error.value).startswith(said)


def test_without_a_repository_there_are_no_revisions() -> None:
    for word in ("main", "rev:main", "."):
        with pytest.raises(UsageError, match="this is not a git repository; see --repo"):
            sides.named(word, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give BASE and HEAD"),
        (("main",), "give BASE and HEAD"),
        (("main", "v1", "eager"), "give BASE and HEAD"),
        (("main", "eager"), "'main' is a rev and 'eager' a mode; both must be of the same kind"),
        (("resnet18", "."), "'resnet18' is a model"),
    ],
)
def test_two_things_of_a_kind(repo: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as error:
        sides.pair(words, repo, pythons=False)
    assert str(error.value).startswith(said)


def test_a_revision_may_meet_the_working_tree_and_interpreters_need_no_words(repo: Path) -> None:
    assert [one.kind for one in sides.pair(("v1", "."), repo, pythons=False)] == ["rev", "worktree"]
    assert [one.kind for one in sides.pair((), repo, pythons=True)] == ["same", "same"]


def test_a_dirty_tree_is_said_where_it_is_left_out(repo: Path) -> None:
    both, tree = sides.pair(("v1", "main"), repo, pythons=False), Named("worktree")
    assert sides.notices(*both, repo) == []
    (repo / "net.py").write_text("3\n")

    (repo / "results").mkdir()
    (repo / "results" / "verdicts.json").write_text("{}")

    (line,) = sides.notices(*both, repo)
    assert "not part of any revision: 1 uncommitted change" in line
    (repo / "new.py").write_text("4\n")
    (line,) = sides.notices(*both, repo)
    assert "not part of any revision: 2 uncommitted changes" in line
    assert sides.notices(both[0], tree, repo) == []


def test_each_side_has_its_own_checkout_and_both_are_gone_afterwards(repo: Path) -> None:
    both = sides.pair(("v1", "main"), repo, pythons=False)
    with sides.opened(both, repo, (None, None)) as opened:
        folders = [Path(side.origin.networks[0]) for side in opened]
        texts = [(folder / "net.py").read_text() for folder in folders]
        assert [side.role for side in opened] == ["base", "head"]
        assert opened[0].origin.networks == (str(folders[0]), str(folders[0] / "src"))
        assert opened[0].origin.folder == str(folders[0])
        assert opened[0].source == {
            "kind": "rev", "name": "v1", "commit": both[0].commit,
        }  # fmt: skip

    assert texts == ["1\n", "2\n"]
    assert not any(folder.exists() for folder in folders)


def test_the_working_tree_is_used_as_it_is(repo: Path) -> None:
    both = sides.pair(("v1", "."), repo, pythons=False)
    with sides.opened(both, repo, (None, None)) as (_, head):
        assert head.origin.networks[0] == str(repo)
        assert head.origin.folder == str(repo)


def test_the_import_path_of_a_checkout_never_leads_back_to_the_working_tree(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "src" / "inner").mkdir()
    monkeypatch.chdir(repo / "src")
    entries = [str(repo), "inner", str(tmp_path / "lib")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
    both = sides.pair(("v1", "main"), repo, pythons=False)
    with sides.opened(both, repo, (None, None)) as (base, _):
        root = base.origin.networks[0]
        assert base.origin.folder == f"{root}/src"

    assert base.origin.networks == (root, f"{root}/src", root, f"{root}/src/inner")
    assert base.origin.variables == {"PYTHONPATH": str(tmp_path / "lib")}


def test_two_revisions_of_networks_share_a_starter_and_two_of_this_program_do_not(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repo))
    both = sides.pair(("v1", "."), repo, pythons=False)
    with sides.opened(both, repo, (None, None)) as (base, head):
        assert base.origin != head.origin
        assert base.origin.shares_starter(head.origin)
        assert not base.origin.shares_starter(replace(head.origin, package="/checkout"))
        assert not base.origin.shares_starter(replace(head.origin, python="/other/python"))


def test_only_a_checkout_of_this_program_replaces_it(tmp_path: Path, repo: Path) -> None:
    root = Path(origin.__file__).parents[2]

    assert sides.is_cnnbench(root)
    assert not sides.is_cnnbench(repo)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no/such/python", "is not an interpreter"),
        ("/bin/cat", "is not a Python interpreter"),
    ],
)
def test_something_that_is_no_interpreter(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sides.interpreter(text)


def test_an_old_interpreter_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)

    with pytest.raises(UsageError, match=r"Python 3\.9; workers need 3\.11"):
        sides.interpreter(str(old))


def test_an_interpreter_keeps_its_own_name(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)

    assert sides.interpreter(str(link)) == str(link)


def test_another_interpreter_finds_this_package_and_nothing_beside_it(tmp_path: Path) -> None:
    variables = origin.environment(Origin(python="/other/python"), tmp_path)

    first = Path(variables["PYTHONPATH"].split(os.pathsep)[0])
    assert [path.name for path in first.iterdir()] == ["cnnbench"]
    assert (first / "cnnbench" / "worker" / "starter.py").is_file()


def test_a_checkout_of_this_program_comes_before_it(tmp_path: Path) -> None:
    variables = origin.environment(Origin(package="/checkout"), tmp_path)

    assert variables["PYTHONPATH"].split(os.pathsep)[0] == "/checkout"


def _git_says(monkeypatch: pytest.MonkeyPatch, folder: Path, answer: str) -> None:
    """A git that fails with an answer."""
    folder.mkdir()
    git = folder / "git"
    git.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{answer}\nEND\nexit 128\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_repository_of_another_user_is_one_that_git_can_be_told_to_trust(
    tmp_path: Path, monkeypatch
) -> None:
    told = "git config --global --add safe.directory '/a checkout'"
    answer = f"fatal: detected dubious ownership in repository\nTo add an exception:\n\n\t{told}"
    _git_says(monkeypatch, tmp_path / "bin", answer)

    assert revisions.repository(tmp_path) is None
    with pytest.raises(UsageError, match="unknown revision 'main'") as error:
        sides.named("rev:main", None)
    assert f"repository of another user; if you trust it: {told}" in str(error.value)
    assert "not a git repository" not in str(error.value)


def test_without_git_it_is_git_that_is_missing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match=r"working tree, but git is not installed"):
        sides.named(".", None)
