"""Memory of a process as Linux counts it. Elsewhere: 0."""

import contextlib
import subprocess
import time
from pathlib import Path

SAMPLING = 0.02  # seconds between two looks at a process


def resident(pid: int | str = "self") -> int:
    """Bytes in memory now."""
    return _read(pid, "VmRSS:")


def peak(pid: int | str = "self") -> int:
    """The most bytes there were in memory. Unlike getrusage's, not those of the process that started this one."""
    return _read(pid, "VmHWM:")


def reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def watched(process: subprocess.Popen) -> tuple[float, int | None]:
    """Seconds until a process that was just started ends, and the most bytes that it had in memory (None: unknown)."""
    started, most = time.perf_counter(), 0
    while process.poll() is None:
        most = max(most, peak(process.pid))
        time.sleep(SAMPLING)
    return time.perf_counter() - started, most or None


def _read(pid: int | str, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0
