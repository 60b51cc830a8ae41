"""Start processes, keep them running, show what they say, and stop them all.

One thread, one loop: output, ends and signals all arrive at the same selector. That
also keeps `fork` safe and ties each child's life to ours (see `_die_with_us`).
"""

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

GRACE_S = 10.0  # from SIGTERM to SIGKILL
FIRST_PAUSE_S = 0.5  # before the first restart; doubles up to the longest
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # whoever ran this long has earned a short pause again

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass
class Child:
    """A process to be kept running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    said: bytes = b""  # the begin of a line that has not ended yet


class Supervisor:
    """Runs its children until `stop` is called or SIGINT or SIGTERM arrives.

    `show` gets a child's name and one line of its output. Use it in the main thread:
    children get SIGKILL when the thread that started them ends.
    """

    def __init__(
        self, children: Sequence[Child], show: Callable[[str, str], None]
    ) -> None:
        self.children = list(children)
        self.stopping = False
        self._show = show
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._waker, self._wake = os.pipe()
        for end in (self._waker, self._wake):
            os.set_blocking(end, False)
        self._selector.register(self._waker, selectors.EVENT_READ)

    def __enter__(self) -> "Supervisor":
        self._before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        self._wakeup_before = signal.set_wakeup_fd(
            self._wake, warn_on_full_buffer=False
        )
        try:
            for child in self.children:
                self._start(child)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._selector.close()
        os.close(self._waker)
        os.close(self._wake)

    def tend(self, seconds: float) -> bool:
        """Show output and restart the fallen that long; False once asked to stop."""
        end = time.monotonic() + seconds
        while not self.stopping and (left := end - time.monotonic()) > 0:
            now = time.monotonic()
            due = [c.start_again_at for c in self.children if c.process is None]
            left = min([left, *[max(at - now, 0) for at in due], 0.5])
            self._listen(left)
            for child in self.children:
                if child.process is not None and child.process.poll() is not None:
                    self._ended(child)
                elif child.process is None and child.start_again_at <= time.monotonic():
                    self._start(child)
        return not self.stopping

    def stop(self) -> None:
        """Stop all children; whoever has not ended after the grace time is killed.

        A second SIGINT or SIGTERM during this shortens the grace time to nothing.
        """
        self.stopping = True
        running = [child for child in self.children if child.process is not None]
        for child in running:
            self._send(child, signal.SIGTERM)
        signals_before = self._signals
        end = time.monotonic() + GRACE_S
        while running and time.monotonic() < end and self._signals == signals_before:
            self._listen(0.1)
            for child in [
                c for c in running if c.process and c.process.poll() is not None
            ]:
                running.remove(child)
        for child in running:
            self._show(child.name, f"did not stop in {GRACE_S:.0f} s: killed")
        for child in self.children:
            if child.process is not None:
                # The whole group: also what a child started and left behind.
                self._send(child, signal.SIGKILL)
                child.process.wait()
                self._forget(child)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.stopping = True

    def _start(self, child: Child) -> None:
        child.started_at = time.monotonic()
        child.process = subprocess.Popen(
            list(child.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **child.environment},
            # A group of its own: Ctrl-C reaches us alone, and we stop them in order.
            start_new_session=True,
            preexec_fn=_die_with_us(os.getpid()),  # safe: we have no threads
        )
        output = self._output(child)
        os.set_blocking(output.fileno(), False)
        self._selector.register(output, selectors.EVENT_READ, child)

    def _ended(self, child: Child) -> None:
        assert child.process is not None
        while self._read(child):
            pass
        lived_s = time.monotonic() - child.started_at
        if lived_s >= STEADY_S:
            child.pause_s = FIRST_PAUSE_S
        code = child.process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._show(
            child.name, f"ended ({how}); starting it again in {child.pause_s:g} s"
        )
        # What it left behind would hold the port or the database.
        self._send(child, signal.SIGKILL)
        self._forget(child)
        child.start_again_at = time.monotonic() + child.pause_s
        child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)

    def _forget(self, child: Child) -> None:
        """Show its last words and let go of an ended child."""
        while self._read(child):
            pass
        output = self._output(child)
        with contextlib.suppress(KeyError):
            self._selector.unregister(output)
        output.close()
        child.process = None

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(seconds, 0)):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._waker, 4096)
            else:
                self._read(key.data)

    def _read(self, child: Child) -> bool:
        """Show the lines that are there; False when nothing was."""
        output = self._output(child)
        try:
            piece = os.read(output.fileno(), 65536)
        except BlockingIOError:
            return False
        if not piece:
            with contextlib.suppress(KeyError):
                self._selector.unregister(output)
        *lines, child.said = (child.said + piece).split(b"\n")
        if not piece and child.said:
            lines, child.said = [child.said], b""
        for line in lines:
            self._show(child.name, line.decode("utf-8", "replace").rstrip())
        return piece != b""

    @staticmethod
    def _output(child: Child) -> IO[bytes]:
        assert child.process is not None
        assert child.process.stdout is not None
        return child.process.stdout

    @staticmethod
    def _send(child: Child, number: signal.Signals) -> None:
        assert child.process is not None
        # SIGTERM goes to the child alone, which knows how to end its own children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(child.process.pid, number)
            else:
                child.process.send_signal(number)


def _die_with_us(parent: int) -> Callable[[], None]:
    """Return what the child runs before it becomes its program.

    When we are killed with SIGKILL we can stop nobody; Linux then kills the child for
    us. Every piece of work is safe to lose: rows are the queue.
    """

    def tie() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # we died before the line above
                os._exit(1)

    return tie
