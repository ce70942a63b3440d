"""Compiled programs are kept only where nobody else can put any."""

import os

import jax
import pytest

from metaplax.runs import compilation_cache, use_compilation_cache
from metaplax.runs.compilation_cache import UnsafeFolderError, make_private


@pytest.fixture
def _as_before():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("_as_before")
def test_the_folder_is_private_and_used(tmp_path):
    folder = tmp_path / "deep" / "compiled"
    assert use_compilation_cache(str(folder)) == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert jax.config.jax_compilation_cache_dir == str(folder)


@pytest.mark.usefixtures("_as_before")
def test_a_variable_names_the_folder_or_turns_it_off(tmp_path, monkeypatch):
    monkeypatch.setenv(compilation_cache.VARIABLE, "off")
    assert use_compilation_cache() is None
    monkeypatch.setenv(compilation_cache.VARIABLE, str(tmp_path / "there"))
    assert use_compilation_cache() == tmp_path / "there"


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    before = jax.config.jax_compilation_cache_dir
    with pytest.warns(UserWarning, match=r"compiled programs are not kept: others can write to"):
        assert use_compilation_cache(tmp_path) is None
    assert jax.config.jax_compilation_cache_dir == before


def test_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeFolderError, match="not a folder of its own but a link"):
        make_private(tmp_path / "link")


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(UnsafeFolderError, match="belongs to somebody else"):
        make_private(folder)


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="compiled programs are not kept"):
        assert use_compilation_cache(tmp_path / "file") is None
