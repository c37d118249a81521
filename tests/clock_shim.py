"""A wall clock that tests can move while a process runs: a library in front of libc's, its offset in a file.

Monotonic clocks are left alone, as they are when somebody sets a machine's time.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = r"""
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


class MovableClock:
    """A library and the file that moves its clock.

    Args:
        folder: Where both are made.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None or sys.platform != "linux":
            pytest.skip("there is no C compiler, or this is not Linux")
        self._file = folder / "offset"
        self.move(0)
        source, library = folder / "clock.c", folder / "clock.so"
        source.write_text(SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self._file)}

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
