"""The cache directory and its key: only the service's user's own are used, for what is tagged by the key is run."""

import errno
import os
import stat
from pathlib import Path

import pytest
import wat
from sandbox_kit import Sandbox, no_fetch

from aerofn.errors import SettingsError
from aerofn.model import Outcome
from aerofn.runtime import private
from aerofn.runtime.private import KEY_SIZE, check_owner, is_private, own_key
from aerofn.runtime.vault import Vault

STRANGER = 65534
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "cache"
    made.mkdir(mode=0o700)
    return made


def put_key(directory: Path, key: bytes = b"k" * KEY_SIZE, mode: int = 0o600) -> None:
    path = directory / "key"
    path.write_bytes(key)
    path.chmod(mode)


def stat_of(mode: int, user: int, size: int = KEY_SIZE) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, user, user, size, 0, 0, 0))


def test_a_good_key_is_kept(directory: Path) -> None:
    key = own_key(directory)
    assert (len(key), own_key(directory)) == (KEY_SIZE, key)
    put_key(directory)
    assert own_key(directory) == b"k" * KEY_SIZE
    assert [path.name for path in directory.iterdir()] == ["key"]


@pytest.mark.parametrize("size", [0, 1, KEY_SIZE - 1, KEY_SIZE + 1])
def test_a_key_that_is_not_whole_is_replaced(directory: Path, size: int) -> None:
    put_key(directory, b"k" * size)
    key = own_key(directory)
    assert (len(key), key[:1] * KEY_SIZE == key) == (KEY_SIZE, False)
    assert own_key(directory) == key


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o660, 0o604])
def test_a_key_that_others_may_read_or_write_is_replaced(directory: Path, mode: int) -> None:
    put_key(directory, mode=mode)
    assert own_key(directory) != b"k" * KEY_SIZE
    assert stat.S_IMODE((directory / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize(("mode", "kept"), [(0o777, False), (0o770, False), (0o702, False), (0o755, True)])
def test_a_key_of_a_directory_that_others_could_write_to_is_replaced(
    directory: Path, mode: int, kept: bool
) -> None:
    put_key(directory)
    directory.chmod(mode)
    assert (own_key(directory) == b"k" * KEY_SIZE) is kept
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_key_elsewhere_is_replaced(directory: Path, tmp_path: Path) -> None:
    put_key(tmp_path)
    (directory / "key").symlink_to(tmp_path / "key")
    assert own_key(directory) != b"k" * KEY_SIZE
    assert not (directory / "key").is_symlink()
    assert (tmp_path / "key").read_bytes() == b"k" * KEY_SIZE


def test_whose_the_directory_and_the_key_are(directory: Path) -> None:
    about, mine = directory.stat(), os.geteuid()
    check_owner(directory, about, mine)
    with pytest.raises(SettingsError, match="belongs to another user"):
        check_owner(directory, about, mine + 1)
    assert is_private(stat_of(stat.S_IFREG | 0o600, mine), mine)
    assert not is_private(stat_of(stat.S_IFREG | 0o600, mine + 1), mine)
    assert not is_private(stat_of(stat.S_IFIFO | 0o600, mine), mine)


async def test_a_strangers_directory_is_refused(make_runtime, directory: Path) -> None:  # type: ignore[no-untyped-def]
    put_key(directory)
    if AS_ROOT:
        os.chown(directory, STRANGER, STRANGER)
        owner = STRANGER
    else:  # who is not root cannot give a directory away, but / is one of somebody else
        directory, owner = Path("/"), 0
    with pytest.raises(SettingsError) as refused:
        await make_runtime(cache_dir=directory)
    assert f"its owner is user {owner}" in (refused.value.detail or "")
    assert f"chown -R {os.geteuid()} {directory}" in (refused.value.hint or "")
    assert (directory.stat().st_uid, refused.value.code) == (owner, "invalid_settings")


async def test_code_that_a_stranger_tagged_is_not_run(make_runtime, directory: Path) -> None:  # type: ignore[no-untyped-def]
    """The key was the stranger's, and the directory is ours again."""
    good, evil = wat.component(), wat.component("unreachable")
    theirs = await make_runtime(cache_dir=directory)
    digest, forged = await theirs.prepare(good), await theirs.prepare(evil)
    vault: Vault = theirs._components._vault
    found = vault.find(forged)
    assert found is not None
    copy = directory / "copy"
    copy.write_bytes(found[0].path.read_bytes())
    vault.keep(digest, copy, found[1])
    assert (await Sandbox(await make_runtime(cache_dir=directory)).run(good)).outcome is Outcome.TRAP
    if AS_ROOT:
        os.chown(directory / "key", STRANGER, STRANGER)
    else:
        (directory / "key").chmod(0o666)
    assert (await Sandbox(await make_runtime(cache_dir=directory)).run(good)).outcome is Outcome.SUCCESS


async def test_a_directory_that_cannot_be_had_says_what_to_do(make_runtime, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "file"
    file.write_text("no directory")
    for path in (file, file / "below"):
        with pytest.raises(SettingsError, match="cannot be used") as refused:
            await make_runtime(cache_dir=path)
        assert "AEROFN_CACHE_DIR" in (refused.value.hint or "")


async def test_a_disk_that_is_full_at_the_start_costs_memory_only(
    make_runtime,  # type: ignore[no-untyped-def]
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    really = os.open

    def full(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and Path(path).is_relative_to(directory):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, flags, mode)

    with monkeypatch.context() as scarce:
        scarce.setattr(os, "open", full)
        sandbox = Sandbox(await make_runtime(cache_dir=directory))
        guest = await sandbox.load(wat.component())
        assert (await sandbox.run(guest)).outcome is Outcome.SUCCESS
    assert "no room for its key" in caplog.text
    assert not (directory / "key").exists()
    digest = await sandbox.runtime.prepare(wat.component("nop"))
    later = await make_runtime(cache_dir=directory)  # another key, and so nothing of that one's
    with pytest.raises(AssertionError, match="nothing to fetch"):
        await later.load(digest, no_fetch)


def test_a_key_is_on_the_disk_before_it_has_its_name(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("fsync", "link"):
        really = getattr(os, name)
        monkeypatch.setattr(
            private.os, name, lambda *given, name=name, really=really: (steps.append(name), really(*given))
        )
    own_key(directory)
    assert steps == ["fsync", "link"]
