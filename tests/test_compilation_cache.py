"""Compiled programs are kept only where nobody else can put any."""

import os
from pathlib import Path

import jax
import pytest

from metaplax.runs import compilation_cache, use_compilation_cache
from metaplax.runs.compilation_cache import UnsafeFolderError, make_private
from metaplax.training.programs import compile_once


@pytest.fixture(autouse=True)
def _as_before():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_folder_is_private_and_used(tmp_path):
    folder = tmp_path / "deep" / "compiled"
    assert use_compilation_cache(str(folder)) == folder
    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder)] == [0o700, 0o700]
    assert jax.config.jax_compilation_cache_dir == str(folder)


@pytest.mark.parametrize(
    ("asked", "of_jax", "expected"),
    [
        ("{home}/there", "", "{home}/there"),
        ("~/there", "", "{home}/there"),
        ("there", "", "{home}/there"),
        ("", "gs://bucket", "gs://bucket"),
        ("~/there", "gs://bucket", "{home}/there"),
        *[(word, "gs://bucket", None) for word in ("off", "OFF", " Off ", "0", "no", "None", "false")],
    ],
)
def test_variables_name_the_folder_or_turn_it_off(asked, of_jax, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(compilation_cache.VARIABLE, asked.format(home=tmp_path))
    monkeypatch.setenv(compilation_cache.JAX_VARIABLE, of_jax)
    # JAX reads its variable when it is imported.
    jax.config.update("jax_compilation_cache_dir", of_jax or None)
    expected = expected and expected.format(home=tmp_path)
    assert use_compilation_cache() == (expected and Path(expected))
    assert jax.config.jax_compilation_cache_dir == expected


@pytest.mark.parametrize("mode", [0o770, 0o702])
@pytest.mark.parametrize("below", ["", "compiled", "deep/compiled"])
def test_a_folder_that_others_can_write_to_or_replace_is_refused(tmp_path, mode, below):
    tmp_path.chmod(mode)
    with pytest.warns(
        UserWarning, match=rf"compiled programs are not kept: others can write to .*chmod go-w {tmp_path}"
    ):
        assert use_compilation_cache(tmp_path / below) is None
    assert jax.config.jax_compilation_cache_dir is None
    if below:
        tmp_path.chmod(mode | 0o1000)
        assert use_compilation_cache(tmp_path / below) == tmp_path / below, "the sticky bit keeps others from that"


def test_a_link_into_a_folder_that_others_can_write_to_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    with pytest.raises(UnsafeFolderError, match="others can write to"):
        make_private(tmp_path / "link" / "compiled")


def test_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeFolderError, match="not a folder of its own but a link"):
        make_private(tmp_path / "link")


def test_a_program_that_others_can_write_to_is_refused(tmp_path):
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o666)
    tmp_path.chmod(0o700)
    make_private(tmp_path)
    tmp_path.chmod(0o755)
    with pytest.raises(UnsafeFolderError, match=r"others can write to .*program"):
        make_private(tmp_path)


def test_what_somebody_else_owns_is_refused(tmp_path, monkeypatch):
    folder, lstat = tmp_path / "compiled", Path.lstat
    make_private(folder)
    (folder / "theirs").touch()

    def theirs(path):
        found = lstat(path)
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:])) if path.name == "theirs" else found

    monkeypatch.setattr(Path, "lstat", theirs)
    with pytest.raises(UnsafeFolderError, match=r"theirs belongs to somebody else"):
        make_private(folder)
    monkeypatch.undo()
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(UnsafeFolderError, match=r"compiled belongs to somebody else"):
        make_private(folder)


@pytest.mark.parametrize("asked", ["file", "file/below", "~nobody-of-this-name/compiled"])
def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path, asked):
    (tmp_path / "file").write_text("")
    folder = asked if asked.startswith("~") else tmp_path / asked
    with pytest.warns(UserWarning, match="compiled programs are not kept"):
        assert use_compilation_cache(folder) is None


@pytest.mark.parametrize(
    ("asked", "before", "expected"), [("{home}/there", None, "{home}/there"), ("off", None, None), ("", "mine", "mine")]
)
def test_meta_training_keeps_programs_without_being_asked(asked, before, expected, tmp_path, monkeypatch):
    monkeypatch.setenv(compilation_cache.VARIABLE, asked.format(home=tmp_path))
    monkeypatch.setattr(compilation_cache, "_is_decided", False)
    jax.config.update("jax_compilation_cache_dir", before)
    compile_once(jax.jit(lambda x: x + 1).trace(1.0))
    assert jax.config.jax_compilation_cache_dir == (expected and expected.format(home=tmp_path))
