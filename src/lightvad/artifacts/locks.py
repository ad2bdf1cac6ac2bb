"""One process at a time in a folder: a lock that the kernel takes back when its process ends, however it ends."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightvad.errors import LightvadError


@contextmanager
def locked(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lock of the file `path` for the length of the block; never waits.

    The file stays when the lock is given back: a file that is removed and made again is another file with another lock.
    It holds the number of the process for the message alone; an old number in it locks nothing. It is not written
    atomically, since a lock belongs to the file and not to its name.

    Args:
        path: made if it is not there.
        what: what is locked, for the message.

    Raises:
        LightvadError: another process holds the lock, or the file system has none.
    """
    handle = _opened(path)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LightvadError(_reason(error, path, handle, what)) from error
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        except OSError as error:
            message = f"{path}: cannot be written ({error.strerror}); free disk space and run again"
            raise LightvadError(message) from error
        yield
    finally:
        os.close(handle)


def alive(path: Path) -> int | None:
    """Say by a lock, until this process ends, that it is at work; others may say so too, and `flock` can ask.

    Args:
        path: made, with its folder, if it is not there.

    Returns:
        The handle of the file, which holds the lock; None where somebody holds the lock alone: whoever started this
        process, as `workflow/alone.sh` does.

    Raises:
        LightvadError: the folder cannot be written, or the file system has no locks.
    """
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        message = f"{path}: cannot be locked ({error.strerror}); work on a file system that has locks"
        raise LightvadError(message) from error
    return handle


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); free space or change the folder's permissions"
        raise LightvadError(message) from error


def _reason(error: OSError, path: Path, handle: int, what: str) -> str:
    if error.errno in (errno.EACCES, errno.EAGAIN):
        owner = os.pread(handle, 20, 0).decode(errors="replace")
        return f"{what}: process {owner or '?'} is at work there; wait until it has ended, or end it, then run again"
    return f"{path}: cannot be locked ({error.strerror}); put results/ on a file system that has locks"
