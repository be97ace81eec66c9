"""Where a sweep's files lie: a local path, NFS, or an object store by its URI, all by pyarrow.

A path is used as it is; an URI such as s3://bucket/runs is read and written through its
filesystem. What goes wrong with the place itself, such as a full disk, becomes one sentence that
names the path and the remedy.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.fs as pafs


class StorageError(ValueError):
    """A place that cannot be read or written, with the path and the remedy."""


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
GONE = {errno.ENOENT, errno.ESTALE, errno.EIO, errno.ENODEV, errno.ENOTCONN}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
# what clients of object stores say, in place of a number
GONE_WORDS = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|not found|does not exist")
DENIED_WORDS = re.compile(
    r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|credential|"
    r"UNAUTHENTICATED|PERMISSION_DENIED|status 40[013]|MISSING_AUTHENTICATION|INVALID_CLIENT",
    re.IGNORECASE,
)
PROBE = 1 << 16
AGAIN = "then give the same command again: nothing recorded so far is lost"


def is_uri(path: str | Path) -> bool:
    return "://" in str(path)


def filesystem(path: str | Path) -> tuple[pafs.FileSystem, str]:
    """The filesystem that holds `path` and the path on it: local, or any URI that pyarrow or
    fsspec knows (s3://, gs://, memory://). Raises StorageError for an unknown scheme, or a place
    that cannot be reached."""
    text = str(path)
    if not is_uri(text):
        return pafs.LocalFileSystem(), os.path.abspath(text)
    try:
        with guarded(text):  # the region of a bucket is asked for here
            return pafs.FileSystem.from_uri(text)
    except StorageError:
        raise
    except (ValueError, ImportError):  # pyarrow asks fsspec too, by another way
        import fsspec

        try:
            with guarded(text):
                fs, root = fsspec.core.url_to_fs(text)
        except StorageError:
            raise
        except Exception as error:  # each of its filesystems raises its own
            raise StorageError(
                f"{text}: no such place can be opened ({error}); use a local path, s3://, gs:// or "
                "another fsspec URI"
            ) from None
        return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), root


@contextmanager
def guarded(path: str | Path, setting: str = "storage") -> Iterator[None]:
    """Turns what is wrong with the place `path` into a StorageError that names the setting which
    chose it; other errors pass."""
    try:
        yield
    except OSError as error:
        sentence = trouble(path, error, setting)
        if sentence is None:
            raise
        raise StorageError(sentence) from error
    except NotImplementedError as error:  # of a filesystem that is only read, such as http://
        raise StorageError(
            f"{path} can only be read; use a local path, s3:// or gs:// as {setting}"
        ) from error


def trouble(path: str | Path, error: OSError, setting: str = "storage") -> str | None:
    """What is wrong with the place `path` and what to do; None for an error of another kind."""
    words = " ".join(str(error).split())
    number = error.errno
    if number in FULL:
        what = f"is full; free space, or choose another {setting},"
    elif number in DENIED:
        what = f"may not be written; correct its permissions, or choose another {setting},"
    elif number == errno.ELOOP:
        which = f" ({error.filename})" if error.filename else ""
        what = f"holds a link where a file belongs{which}; remove the link,"
    elif number in GONE:
        what = f"is gone; mount it again, or correct {setting},"
    elif not is_uri(path):
        return None
    elif DENIED_WORDS.search(words):
        what = (
            f"was refused ({words}); give credentials that every node has, such as the role of "
            "the machines, AWS_ACCESS_KEY_ID, AWS_PROFILE or GOOGLE_APPLICATION_CREDENTIALS,"
        )
    elif GONE_WORDS.search(words):
        what = f"is not there ({words}); create the bucket, or correct {setting},"
    else:
        what = f"cannot be reached ({words}); check the network and AWS_ENDPOINT_URL,"
    return f"{path} {what} {AGAIN}"


def check_room(folder: str | Path) -> None:
    """Raises StorageError when not even PROBE bytes can be written there."""
    fs, root = filesystem(folder)
    with guarded(folder):
        write(fs, f"{root}/.room", b"0" * PROBE)
        fs.delete_file(f"{root}/.room")


def read(fs: pafs.FileSystem, path: str) -> bytes:
    """Raises FileNotFoundError."""
    with fs.open_input_file(path) as source:
        return source.readall()


def write(fs: pafs.FileSystem, path: str, content: bytes) -> None:
    """The file appears whole or not at all; its folder must be there. A link in its place is
    replaced, not followed."""
    if not isinstance(fs, pafs.LocalFileSystem):  # an object appears when its upload is complete
        with fs.open_output_stream(path) as out:
            out.write(content)
        return
    part = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(part, "xb", opener=unfollowed) as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, path)  # puts a file where a link was, and leaves what it points to
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


def unfollowed(path: str, flags: int) -> int:
    """An `opener` for `open` in storage that others may write to: where a link stands in place of
    the file it raises OSError (ELOOP), so that nothing is written to where the link points."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def exists(fs: pafs.FileSystem, path: str) -> bool:
    return fs.get_file_info(path).type != pafs.FileType.NotFound


def remove(fs: pafs.FileSystem, folder: str) -> None:
    """Deletes a folder and what it holds, if it is there."""
    try:
        fs.delete_dir(folder)
    except FileNotFoundError:
        return
