"""Libraries in front of libc's for processes under test, controlled by a file while they run: a clock, and a disk."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset_s(void) {
    long seconds = 0;
    const char *path = getenv("CLOCK_OFFSET_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t id, struct timespec *spec) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, spec);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) spec->tv_sec += offset_s();
    return result;
}

int gettimeofday(struct timeval *restrict value, void *restrict zone) {
    struct timespec spec;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &spec);
    value->tv_sec = spec.tv_sec;
    value->tv_usec = spec.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec spec;
    clock_gettime(CLOCK_REALTIME, &spec);
    if (result) *result = spec.tv_sec;
    return spec.tv_sec;
}
"""


DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(void) {
    const char *path = getenv("DISK_FULL_FILE");
    return path && access(path, F_OK) == 0;
}

static int grows(int fd, off_t end) {
    struct stat status;
    return fstat(fd, &status) == 0 && end > status.st_size;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    if (is_full() && grows(fd, at + (off_t)size)) { errno = ENOSPC; return -1; }
    return real(fd, data, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    if (!real) real = (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
    off_t end = at;
    for (int n = 0; n < count; n++) end += parts[n].iov_len;
    if (is_full() && grows(fd, end)) { errno = ENOSPC; return -1; }
    return real(fd, parts, count, at);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static int (*real)(int, off_t, off_t);
    if (!real) real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
    if (is_full() && grows(fd, at + size)) return ENOSPC;
    return real(fd, at, size);
}
"""


class MovableClock:
    """A wall clock that can be moved while a process runs.

    Monotonic clocks are left alone, as they are when somebody sets a machine's time.

    Args:
        folder: Where the library and its file are made.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self.move(0)
        self.environment = {"LD_PRELOAD": _library(folder, "clock", CLOCK), "CLOCK_OFFSET_FILE": str(self._file)}

    def move(self, seconds: int) -> None:
        """Set the clock so many seconds off the true time."""
        replacement = self._file.with_suffix(".new")
        replacement.write_text(str(seconds))
        replacement.replace(self._file)

    def shown(self) -> float:
        """What a process with this clock takes the time to be."""
        code = "import time; print(time.time())"
        shown = subprocess.run([sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, check=True)
        return float(shown.stdout)


class FillableDisk:
    """A disk that can become full while a process runs: no file can grow then, what is in it can be written over.

    Args:
        folder: Where the library and its file are made.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "full"
        self.environment = {"LD_PRELOAD": _library(folder, "disk", DISK), "DISK_FULL_FILE": str(self._file)}

    @contextmanager
    def full(self) -> Iterator[None]:
        """Have no room for a while."""
        self._file.touch()
        try:
            yield
        finally:
            self._file.unlink()


def _library(folder: Path, name: str, text: str) -> str:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler, or this is not Linux")
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(text)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)
