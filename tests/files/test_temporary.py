import os

import pytest

from convfilter.files.temporary import NAME, create_beside, create_locked, invent, remove_stale, unlink


def left(folder):
    return sorted(name for name in os.listdir(folder))


def test_names_are_hidden_short_and_never_the_same(tmp_path):
    names = {os.path.basename(invent(str(tmp_path))) for _ in range(1000)}
    assert len(names) == 1000
    assert all(NAME.fullmatch(name) and name.startswith(".convfilter-") and len(name) < 40 for name in names)


def test_what_lives_stays_and_what_is_dead_goes(tmp_path):
    folder = str(tmp_path)
    (tmp_path / "mine.tmp").write_bytes(b"")
    (tmp_path / ".convfilter-notes").write_bytes(b"")
    locked, file = create_locked(folder)
    beside, other = create_beside(locked, 7)
    other.close()
    remove_stale(folder)
    mine = [".convfilter-notes", "mine.tmp"]
    assert left(folder) == sorted([*mine, os.path.basename(locked), os.path.basename(beside)])
    file.close()
    remove_stale(folder)
    assert left(folder) == mine


def test_files_whose_locked_one_is_gone_are_stale(tmp_path):
    locked, file = create_locked(str(tmp_path))
    create_beside(locked, 1)[1].close()
    file.close()
    os.unlink(locked)
    remove_stale(str(tmp_path))
    assert left(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="links as Unix has them")
def test_links_and_folders_with_such_names_stay(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".convfilter-0123456789abcdef.tmp").symlink_to("precious")
    (tmp_path / ".convfilter-0123456789abcde0.tmp").mkdir()
    remove_stale(str(tmp_path))
    assert len(left(tmp_path)) == 3


def test_a_folder_that_is_not_there_holds_nothing_stale(tmp_path):
    remove_stale(str(tmp_path / "none"))
    unlink(str(tmp_path / "none"))
