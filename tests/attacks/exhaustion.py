"""Time, memory, processes, disk, output: all of it, and what comes of taking it.

The cell or function that does it earns nothing, and everything else in the notebook is graded.
Each is bounded, and the dangerous ones refuse to run outside of a sandbox.
"""

# ruff: noqa: E501 (the long lines are those of notebooks)

import json

from tests.attacks import marks
from tests.attacks.corpus import (
    FULL,
    GUARD,
    ZEROS,
    Between,
    Under,
    Work,
    full_but,
    submission,
)

MASK = "causal_mask"
NO_MASK = full_but(causal_mask=0)
WRONG = ZEROS[MASK]
LAST = "attention_backward"

# The limits are set low when the class is graded: see runners.LIMITS.
TOO_LONG = r"more than \d+ s of processor time|did not end within \d+ s, with processor time left"
WAITED = r"(?s)did not end within \d+ s, with processor time left.*It was tried twice"
DIED = r"died|ended|killed|stopped|exited|gone"
MEMORY = rf"{DIED}|memory|MemoryError|allocate"


# Time


@submission(points=NO_MASK, says=TOO_LONG)
def endless_cell(work: Work) -> None:
    """A cell that never ends."""
    work.write(MASK, WRONG, "while True:\n    pass")


@submission(points=NO_MASK, says=TOO_LONG)
def endless_function(work: Work) -> None:
    """A graded function that never returns."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            while True:
                pass
        """,
    )


@submission(points=NO_MASK, says=TOO_LONG)
def endless_from_the_second_call(work: Work) -> None:
    """A graded function that answers once, rightly, and then never again."""
    work.write(
        MASK,
        """
        calls = []
        def causal_mask(num_queries, num_keys, device=None):
            calls.append(1)
            while len(calls) > 1:
                pass
            position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= position[:, None]
        """,
    )


@submission(points=NO_MASK, says=TOO_LONG)
def slow_in_every_call(work: Work) -> None:
    """Each call stays within its limit; all together they do not."""
    work.write(
        MASK,
        """
        import time
        def causal_mask(num_queries, num_keys, device=None):
            until = time.process_time() + 0.7
            while time.process_time() < until:
                pass
            position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= position[:, None]
        """,
    )


@submission(points=NO_MASK, says=TOO_LONG)
def swallowed_interrupts(work: Work) -> None:
    """An endless cell that catches the interrupt and goes on."""
    work.write(
        MASK,
        WRONG,
        """
        while True:
            try:
                while True:
                    pass
            except BaseException:
                print("no")
        """,
    )


@submission(points=NO_MASK, says=WAITED)
def ignored_signals(work: Work) -> None:
    """Ignores and blocks every signal that can be, then sleeps for ever."""
    work.write(
        MASK,
        WRONG,
        """
        import signal, time
        for number in signal.valid_signals():
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            time.sleep(1000)
        """,
    )


@submission(points=NO_MASK, says=WAITED)
def ignored_signals_when_called(work: Work) -> None:
    """The same in the graded function."""
    work.write(
        MASK,
        """
        import signal, time
        def causal_mask(num_queries, num_keys, device=None):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                try:
                    time.sleep(1000)
                except BaseException:
                    pass
        """,
    )


@submission(points=NO_MASK, says=TOO_LONG)
def endless_in_c(work: Work) -> None:
    """A regular expression that backtracks for years, in C code that hears no signal."""
    work.write(MASK, WRONG, "import re", 're.match(r"(a+)+$", "a" * 64 + "b")')


@submission(points=NO_MASK, says=TOO_LONG)
def endless_power(work: Work) -> None:
    """An integer that would fill the machine, computed while the cell is compiled or run."""
    work.write(MASK, WRONG, "n = 10", "huge = (n ** n ** 9) % 7")


@submission(says=None)
def endless_thread(work: Work) -> None:
    """Threads that spin for ever, left behind by a cell that ends: the rest is graded all the same."""
    work.after(
        MASK,
        """
        import threading, time
        def spin():
            while True:
                time.sleep(0)
        for _ in range(3):
            threading.Thread(target=spin).start()
        """,
    )


@submission(says=None)
def hangs_at_exit(work: Work) -> None:
    """Everything is right; the process refuses to end."""
    work.after(
        LAST,
        """
        import atexit, signal, sys, threading, time
        atexit.register(time.sleep, 1000)
        threading._register_atexit(time.sleep, 1000) if hasattr(threading, "_register_atexit") else None
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(1000,)).start()
        class Hangs:
            def __del__(self):
                time.sleep(1000)
        sys.hangs = Hangs()
        """,
    )


@submission(points=NO_MASK)
def kernel_never_answers(work: Work) -> None:
    """The process that should answer stops itself, for ever."""
    work.write(MASK, WRONG, "import os, signal", "os.kill(os.getpid(), signal.SIGSTOP)")


@submission(points=NO_MASK)
def stops_itself_when_called(work: Work) -> None:
    """The same in the graded function."""
    work.write(
        MASK,
        """
        import os, signal
        def causal_mask(num_queries, num_keys, device=None):
            os.kill(os.getpid(), signal.SIGSTOP)
        """,
    )


@submission(points=full_but(attention_backward=0.0))
def interpreter_held(work: Work) -> None:
    """A thread holds Python's own lock for ever, so that nothing else in the process answers."""
    work.after(
        LAST,
        """
        import re, threading, time
        asked = threading.Event()
        def hold():
            asked.wait()
            re.match(r"(a+)+$", "a" * 64 + "b")
        threading.Thread(target=hold, daemon=True).start()
        backward = attention_backward
        def attention_backward(*args):
            asked.set()
            time.sleep(0.1)
            return backward(*args)
        """,
    )


@submission(points=NO_MASK, says=WAITED)
def hangs_when_read(work: Work) -> None:
    """The cell ends at once; showing its last value takes for ever."""
    work.write(
        MASK,
        WRONG,
        """
        import time
        class Hangs:
            def __repr__(self): time.sleep(1000)
            _repr_html_ = _repr_mimebundle_ = __str__ = lambda self, **kwargs: time.sleep(1000)
        Hangs()
        """,
    )


@submission(points=full_but(attention_backward=Between(0, FULL[LAST])))
def output_stream_hangs(work: Work) -> None:
    """Replaces the streams by ones that never take a letter, and the display hook by a sleep."""
    work.after(
        LAST,
        """
        import sys, time
        class Hangs:
            encoding = "utf-8"
            def write(self, text): time.sleep(1000)
            flush = lambda self: time.sleep(1000)
            def __getattr__(self, name): return self.write
        sys.stdout = sys.stderr = sys.__stdout__ = Hangs()
        sys.displayhook = lambda value: time.sleep(1000)
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)), says=WAITED)
def backward_never_ends(work: Work) -> None:
    """The answer comes at once; its gradient takes for ever."""
    work.write(
        "stable_softmax",
        """
        import time
        class Hangs(torch.autograd.Function):
            @staticmethod
            def forward(ctx, out):
                return out.clone()
            @staticmethod
            def backward(ctx, grad):
                time.sleep(1000)
        def stable_softmax(scores, dim=-1):
            exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
            return Hangs.apply(exponentials / exponentials.sum(dim, keepdim=True))
        """,
    )


# Memory


@submission(points=NO_MASK, says=MEMORY)
def memory_in_pieces(work: Work) -> None:
    """Ten gigabytes, a hundred megabytes at a time."""
    work.write(MASK, WRONG, GUARD, "kept = [bytearray(b'x' * 100_000_000) for _ in range(100)]")


@submission(points=NO_MASK, says=MEMORY)
def memory_at_once(work: Work) -> None:
    """Ten gigabytes of ones in one tensor."""
    work.write(MASK, WRONG, GUARD, "kept = torch.ones(10_000_000_000, dtype=torch.uint8)")


@submission(points=NO_MASK, says=MEMORY)
def memory_when_called(work: Work) -> None:
    """The graded function takes ten gigabytes, and keeps them."""
    work.write(
        MASK,
        GUARD,
        """
        kept = []
        def causal_mask(num_queries, num_keys, device=None):
            for _ in range(100):
                kept.append(torch.ones(100_000_000, dtype=torch.uint8))
        """,
    )


@submission(points=NO_MASK, says=MEMORY)
def memory_by_mapping(work: Work) -> None:
    """Anonymous shared memory, which is nobody's heap: eight gigabytes, each page touched."""
    work.write(
        MASK,
        WRONG,
        GUARD,
        """
        import mmap
        maps = []
        for _ in range(80):
            piece = mmap.mmap(-1, 100_000_000)
            for offset in range(0, len(piece), 4096):
                piece[offset] = 1
            maps.append(piece)
        raise MemoryError("there was room for all of it")
        """,
    )


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def memory_in_children(work: Work) -> None:
    """Twenty processes of four hundred megabytes each: a limit for each of them is none."""
    work.after(
        MASK,
        GUARD,
        """
        import os, time
        children = []
        for _ in range(20):
            try:
                child = os.fork()
            except OSError:
                break
            if child == 0:
                kept = bytearray(b"x" * 400_000_000)
                time.sleep(1)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        """,
    )


_CHILDREN = """
    import mmap, os, time
    def children(number, asks=1, has=1, fills=1):
        go, start = os.pipe()
        for _ in range(number):
            if os.fork() == 0:
                asked = mmap.mmap(-1, asks * 1_000_000, flags=mmap.MAP_PRIVATE)
                kept = bytearray(b"x") * (has * 1_000_000)
                os.read(go, 1)
                filled = bytearray(b"x") * (fills * 1_000_000)
                time.sleep(1000)
                os._exit(0)
        return start
    """


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])), says=MEMORY)
def memory_of_children_that_wait(work: Work) -> None:
    """A dozen children that wait, and then fill a hundred megabytes each, all at once."""
    work.after(
        MASK,
        GUARD,
        _CHILDREN,
        """
        start = children(12, fills=100)
        time.sleep(0.3)
        os.write(start, b"x" * 12)
        time.sleep(1000)
        """,
    )


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])), says=MEMORY)
def memory_asked_for_and_not_used(work: Work) -> None:
    """A dozen children that have asked for more than there is, and could use it at any time."""
    work.after(MASK, GUARD, _CHILDREN, "children(12, asks=200)\ntime.sleep(1000)")


@submission(points=full_but(attention_scores=Between(0, 6)), says=MEMORY)
def memory_during_one_long_operation(work: Work) -> None:
    """The process that counts is kept busy by one sum of a trillion numbers; a child fills memory."""
    work.write_alone(
        "attention_scores",
        GUARD,
        _CHILDREN,
        """
        start = children(3, has=300, fills=80)
        def attention_scores(q, k):
            if torch.autograd._profiler_enabled():
                os.write(start, b"xxx")
                q.sum().expand(10**12).sum()
            return q @ k.mT * q.shape[-1] ** -0.5
        """,
    )


@submission(points=NO_MASK, says=rf"Recursion|{MEMORY}")
def recursion(work: Work) -> None:
    """Recursion without an end, and without a limit."""
    work.write(
        MASK,
        """
        import sys
        sys.setrecursionlimit(10**9)
        def causal_mask(num_queries, num_keys, device=None):
            return causal_mask(num_queries, num_keys, device)
        """,
    )


@submission(points=NO_MASK, says="Recursion")
def recursion_within_limits(work: Work) -> None:
    """Plain recursion without an end, which Python itself stops."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            return causal_mask(num_queries, num_keys, device)
        """,
    )


@submission(points=NO_MASK)
def deep_source(work: Work) -> None:
    """A cell of a hundred thousand brackets: the parser itself recurses."""
    work.write(MASK, WRONG, "(" * 100_000 + ")" * 100_000, "x = " + "-" * 100_000 + "1")


@submission(points=NO_MASK)
def null_bytes(work: Work) -> None:
    """A cell with null bytes and half a surrogate pair in it, which no compiler takes."""
    work.write(MASK, WRONG, 'x = "\0"', "# \ud800 is half a letter")
    work.place = json.dumps(work.nb).encode()


# Processes


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def a_thousand_forks(work: Work) -> None:
    """A thousand children that sleep."""
    work.after(
        MASK,
        GUARD,
        f"""
        import os, time
        for _ in range(1000):
            try:
                if os.fork() == 0:
                    os.execvp("sleep", ["{marks.LEFT}", "60"])
            except OSError as error:
                print(error)
                break
        """,
    )


@submission(points=full_but(attention_backward=Between(0, FULL[LAST])))
def a_thousand_threads(work: Work) -> None:
    """A thousand threads that sleep."""
    work.after(
        LAST,
        GUARD,
        """
        import threading, time
        for _ in range(1000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        """,
    )


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def forks_that_fork(work: Work) -> None:
    """Each child forks again, until none can: no more than a thousand in all."""
    work.after(
        MASK,
        GUARD,
        """
        import os, time
        first = os.getpid()
        for _ in range(9):
            try:
                os.fork()
            except OSError:
                pass
        if os.getpid() != first:
            time.sleep(30)
            os._exit(0)
        """,
    )


@submission()
def orphans(work: Work) -> None:
    """Leaves daemons behind: forked twice, with a session, a group and a name of their own."""
    work.after(
        MASK,
        GUARD,
        f"""
        import os, signal, subprocess, time
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                os.execvp("sleep", ["{marks.LEFT}", "600"])
            os.wait()
        subprocess.Popen(["nohup", "setsid", "sh", "-c", "sleep 600 # {marks.LEFT}"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        """,
    )


@submission()
def daemon_that_writes_later(work: Work) -> None:
    """A process that outlives its cell and then writes to the disk and knocks at loopback."""
    work.after(
        MASK,
        GUARD,
        f"""
        import os, socket, time
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.closerange(0, 256)
            for _ in range(100):
                time.sleep(0.2)
                for address in (("127.0.0.1", {marks.PORT}), {marks.ABSTRACT!r}):
                    try:
                        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
                        socket.socket(family).connect(address)
                    except OSError:
                        pass
            os._exit(0)
        os.wait()
        """,
    )


@submission()
def child_keeps_the_channel(work: Work) -> None:
    """A child lives on with the judge's socket and writes garbage into it while others answer."""
    work.after(
        LAST,
        GUARD,
        """
        import os, time
        if os.fork() == 0:
            for fd in range(3, 256):
                try:
                    os.set_blocking(fd, False)
                except OSError:
                    pass
            for _ in range(300):
                for fd in range(3, 256):
                    try:
                        os.write(fd, b"garbage" * 100)
                    except OSError:
                        pass
                time.sleep(0.01)
            os._exit(0)
        """,
    )


@submission()
def cell_returns_twice(work: Work) -> None:
    """The cell forks and both processes return from it: two answer each call."""
    work.after(MASK, GUARD, "import os", "child = os.fork()")


# Output


@submission()
def output_of_200_megabytes(work: Work) -> None:
    """Prints two hundred megabytes."""
    work.after(MASK, "for _ in range(2000):\n    print('x' * 100_000)")


@submission()
def output_in_one_line(work: Work) -> None:
    """Writes a hundred megabytes at once, past Python's own streams as well."""
    work.after(
        MASK,
        """
        import os, sys
        sys.stderr.write("x" * 100_000_000)
        for fd in (1, 2):
            try:
                os.write(fd, b"x" * 10_000_000)
            except OSError:
                pass
        """,
    )


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def displays_100_000_times(work: Work) -> None:
    """A hundred thousand display messages, as plain text and as HTML."""
    work.after(
        MASK,
        """
        from IPython.display import HTML, clear_output, display
        for n in range(100_000):
            display({"text/plain": str(n), "text/html": "<i></i>"}, raw=True)
        """,
    )


@submission()
def huge_result(work: Work) -> None:
    """The last value of the cell is shown as fifty megabytes, and the image beside it too."""
    work.after(
        MASK,
        """
        class Huge:
            def __repr__(self): return "x" * 50_000_000
            def _repr_png_(self): return b"x" * 50_000_000
        Huge()
        """,
    )


@submission(points=NO_MASK)
def huge_exception(work: Work) -> None:
    """The exception's message and name are tens of megabytes, and its cause is itself."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            error = type("E" * 10_000_000, (Exception,), {})("x" * 50_000_000)
            error.__cause__ = error
            raise error
        """,
    )


@submission(points=NO_MASK)
def exception_that_cannot_be_read(work: Work) -> None:
    """An exception whose message raises, whose class has no name and whose traceback is endless."""
    work.write(
        MASK,
        """
        class Meta(type):
            __mro__ = property(lambda cls: 1 / 0)
            __name__ = property(lambda cls: 1 / 0)
            def __repr__(cls): raise SystemExit
        class Unreadable(BaseException, metaclass=Meta):
            def __str__(self): raise KeyboardInterrupt
            __repr__ = __str__
            __traceback__ = property(lambda self: 1 / 0)
        def causal_mask(num_queries, num_keys, device=None):
            raise Unreadable
        """,
    )


@submission(points=NO_MASK)
def half_letters(work: Work) -> None:
    """Prints and raises halves of letters and control characters, which no file can hold."""
    work.write(
        MASK,
        r"""
        bad = "\ud800 \x00 \x1b[2J \x1b]0;title\x07 \u202e \x7f" + chr(0xDFFF)
        class Shows:
            def __repr__(self): return bad
        try:
            print(bad)
        except Exception:
            pass
        from IPython.display import display
        display({"text/plain": bad, bad: bad}, raw=True)
        def causal_mask(num_queries, num_keys, device=None):
            raise type(bad.replace("\x00", ""), (ValueError,), {})(bad)
        Shows()
        """,
    )


@submission()
def display_of_nonsense(work: Work) -> None:
    """Display messages that are no valid notebook: numbers as keys, objects, endless nesting."""
    work.after(
        MASK,
        """
        from IPython.display import display, update_display, clear_output
        nested = []
        for _ in range(2000):
            nested = [nested]
        for data in ({"text/plain": 1}, {"text/plain": None}, {"application/json": nested}, {1: 2}, {},
                     {"application/json": float("nan")}, {"text/html": b"bytes"}, {"image/png": "no base64"},
                     {"application/json": object()}, {"text/plain": ["a", 1]}):
            for metadata in ({}, {"a": object()}, {1: 1}):
                try:
                    display(data, raw=True, metadata=metadata)
                except Exception as error:
                    pass
        update_display("nothing", display_id="nobody")
        clear_output(wait=True)
        get_ipython().display_pub.publish(data={"text/plain": "x"}, transient={"display_id": object()})
        get_ipython().set_next_input("x" * 10_000_000)
        get_ipython().payload_manager.write_payload({"source": "ask_exit", "x": object()})
        """,
    )


# Disk


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def full_disk(work: Work) -> None:
    """Fills the temporary folders, up to four gigabytes each."""
    work.after(
        MASK,
        GUARD,
        """
        import os
        for folder in ("/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~"), os.getcwd()):
            for n in range(40):
                try:
                    with open(f"{folder}/full{n}", "wb") as file:
                        file.write(bytes(100_000_000))
                except OSError as error:
                    print(folder, error)
                    break
        """,
    )


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def many_small_files(work: Work) -> None:
    """A hundred thousand empty files and a deep tree of folders."""
    work.after(
        MASK,
        GUARD,
        """
        import os
        try:
            for n in range(100_000):
                open(f"/tmp/{n}", "w").close()
        except OSError as error:
            print(error)
        try:
            for _ in range(500):
                os.mkdir("d" * 200)
                os.chdir("d" * 200)
        except OSError as error:
            print(error)
        """,
    )


@submission(points=full_but(attention_backward=Between(0, FULL[LAST])))
def every_descriptor(work: Work) -> None:
    """Opens files until no more can be, and keeps them."""
    work.after(
        LAST,
        """
        kept = []
        try:
            for _ in range(100_000):
                kept.append(open("/dev/null"))
        except OSError as error:
            print(error)
        """,
    )


# Ends


@submission(points=NO_MASK, says=DIED)
def exits_in_its_cell(work: Work) -> None:
    """os._exit(0) at the end of the cell."""
    work.write(MASK, WRONG, "import os", "os._exit(0)")


@submission(points=NO_MASK, says=DIED)
def exits_when_called(work: Work) -> None:
    """os._exit(0) in the graded function."""
    work.write(
        MASK,
        """
        import os
        def causal_mask(num_queries, num_keys, device=None):
            os._exit(0)
        """,
    )


@submission()
def leaves_by_the_door(work: Work) -> None:
    """exit(), quit() and SystemExit in cells of no consequence."""
    work.after(MASK, "exit()")
    work.after(MASK, "raise SystemExit(0)")
    work.after(MASK, "raise KeyboardInterrupt")
    work.after(MASK, "quit()")
    work.after(MASK, "get_ipython().ask_exit()")
    work.after(MASK, "raise GeneratorExit")


@submission(points=NO_MASK, says="KeyboardInterrupt|interrupt")
def raises_an_interrupt(work: Work) -> None:
    """The graded function raises KeyboardInterrupt, as if the instructor had pressed Ctrl-C."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            raise KeyboardInterrupt
        """,
    )


@submission(points=NO_MASK, says="SystemExit")
def raises_system_exit(work: Work) -> None:
    """The graded function raises SystemExit."""
    work.write(
        MASK,
        """
        import sys
        def causal_mask(num_queries, num_keys, device=None):
            sys.exit("enough")
        """,
    )


@submission(points=NO_MASK, says=DIED)
def crashes_the_interpreter(work: Work) -> None:
    """The graded function reads address 0."""
    work.write(
        MASK,
        """
        import ctypes
        def causal_mask(num_queries, num_keys, device=None):
            ctypes.string_at(0)
        """,
    )


@submission(points=NO_MASK, says=DIED)
def aborts(work: Work) -> None:
    """os.abort() in the graded function."""
    work.write(
        MASK,
        """
        import os
        def causal_mask(num_queries, num_keys, device=None):
            os.abort()
        """,
    )


@submission(points=NO_MASK)
def kills_itself(work: Work) -> None:
    """SIGKILL to its own process."""
    work.write(MASK, WRONG, "import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def kills_its_parent(work: Work) -> None:
    """Every signal there is to its parent, to process 1 and to its group."""
    work.after(
        MASK,
        GUARD,
        """
        import os, signal
        for pid in (os.getppid(), 1):
            for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except OSError as error:
                    print(pid, number, error)
        """,
    )


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])), says=None)
def kills_everybody(work: Work) -> None:
    """SIGKILL to every process that it may signal."""
    work.after(MASK, GUARD, "import signal", "os.kill(-1, signal.SIGKILL)")


@submission(points=full_but(causal_mask=Between(0, FULL[MASK])))
def stops_everybody(work: Work) -> None:
    """SIGSTOP to every process that it may signal, its own group last."""
    work.after(
        MASK,
        GUARD,
        "import signal",
        "os.kill(-1, signal.SIGSTOP)",
        "os.killpg(0, signal.SIGSTOP)",
    )


@submission(points=full_but(attention_backward=Between(0, FULL[LAST])))
def lower_limits(work: Work) -> None:
    """Lowers its own limits, priority and score, so that whatever runs in its process fails."""
    work.after(
        LAST,
        """
        import os, resource
        for name, value in (("RLIMIT_NOFILE", 3), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", -1), ("RLIMIT_STACK", 65536)):
            try:
                resource.setrlimit(getattr(resource, name), (value, value))
            except (OSError, ValueError) as error:
                print(error)
        try:
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
            resource.setrlimit(resource.RLIMIT_NPROC, (-1, -1))
            os.nice(-20)
        except (OSError, ValueError) as error:
            print(error)
        """,
    )


# Answers


@submission(points=NO_MASK, says="shape|larger|big|size|elements|bytes|MB|MiB")
def ten_billion_elements(work: Work) -> None:
    """An answer of ten billion elements that takes four bytes: a stride of zero."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            return torch.zeros(1, dtype=torch.bool).expand(100_000, 100_000)
        """,
    )


@submission(points=full_but(stable_softmax=0), says="shape|larger|big|size|elements|bytes|MB|MiB")
def ten_billion_elements_backwards(work: Work) -> None:
    """The same by as_strided, in a tensor that carries a graph."""
    work.write(
        "stable_softmax",
        """
        def stable_softmax(scores, dim=-1):
            return (scores.sum() * torch.ones(1)).as_strided((10**5, 10**5), (0, 0))
        """,
    )


@submission(points=full_but(attention_backward=0))
def a_million_outputs(work: Work) -> None:
    """A tuple of a million tensors where three are asked for."""
    work.write(
        LAST,
        """
        def attention_backward(grad_out, q, k, v, keep=None):
            return (q,) * 1_000_000
        """,
    )


@submission(points=full_but(attention_backward=0))
def an_answer_of_millions(work: Work) -> None:
    """The process answers by itself, with millions of values that the judge would have to keep."""
    work.write(
        LAST,
        """
        def attention_backward(grad_out, q, k, v, keep=None):
            from tutor.sandbox.inside import replies
            many = {"outputs": {"tuple": [0] * 2_500_000}, "gradients": None}
            replies.of_response = lambda *_: many
            return q, k, v
        """,
    )


@submission(points=full_but(attention_backward=0))
def a_tuple_without_end(work: Work) -> None:
    """A tuple that contains itself, and whose iterator never stops."""
    work.write(
        LAST,
        """
        class Endless(tuple):
            def __iter__(self):
                while True:
                    yield self
            def __len__(self): return 10**18
            def __getitem__(self, index): return self
        def attention_backward(grad_out, q, k, v, keep=None):
            inner = []
            inner.append(inner)
            return Endless((q, k, v)) if keep is None else inner
        """,
    )


@submission(points=NO_MASK, says="complex|real|bool|dtype")
def complex_answer(work: Work) -> None:
    """An answer of complex numbers, conjugated lazily."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            return torch.zeros(num_queries, num_keys, dtype=torch.complex128).conj()
        """,
    )


@submission(points=NO_MASK, says="nan|got")
def nan_answer(work: Work) -> None:
    """An answer of nan."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            return torch.full((num_queries, num_keys), float("nan"), device=device)
        """,
    )


@submission(points=NO_MASK, says="got")
def object_answers(work: Work) -> None:
    """A different kind of thing at each call: none of them a tensor."""
    work.write(
        MASK,
        """
        import itertools
        import numpy as np
        cyclic = {}
        cyclic["self"] = cyclic
        things = itertools.cycle([
            np.array([object()]), np.zeros((3, 5)), "text", 10**5000, float("nan"), b"bytes", cyclic,
            {"out": torch.zeros(3)}, lambda: None, torch, torch.Tensor, type, iter(()), ..., NotImplemented,
            (x for x in ()), torch.Generator(), torch.nn.Linear(2, 2), torch.float32, range(10**18),
            [torch.zeros(3), "text", None],
        ])
        def causal_mask(num_queries, num_keys, device=None):
            return next(things)
        """,
    )


@submission(points=NO_MASK, says="got|expected")
def odd_tensors(work: Work) -> None:
    """Tensors of every kind that holds no plain numbers: sparse, nested, quantized, meta, fake."""
    work.write(
        MASK,
        """
        import warnings
        warnings.simplefilter("ignore")
        from torch._subclasses import FakeTensorMode
        def kinds():
            yield torch.zeros(3, 5).to_sparse()
            yield torch.zeros(3, 5).to_sparse_csr()
            yield torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
            yield torch.quantize_per_tensor(torch.zeros(3, 5), 0.1, 0, torch.qint8)
            yield torch.zeros(3, 5, device="meta")
            yield torch.zeros(3, 5, dtype=torch.uint16)
            yield torch.zeros(3, 5, dtype=torch.float8_e4m3fn)
            yield torch.zeros(3, 5)._neg_view()
            with FakeTensorMode():
                yield torch.zeros(3, 5)
            yield torch.nn.UninitializedParameter()
            yield torch.zeros(())
            yield torch.zeros(0, 5, 0)
        made = []
        def causal_mask(num_queries, num_keys, device=None):
            if not made:
                made.extend(kinds())
            made.append(made.pop(0))
            return made[-1]
        """,
    )


@submission(points=full_but(stable_softmax=0))
def lazy_answer(work: Work) -> None:
    """A tensor that computes nothing until somebody reads it, then with torch's own softmax."""
    work.write(
        "stable_softmax",
        """
        class Lazy(torch.Tensor):
            @staticmethod
            def __new__(cls, make, like):
                lazy = torch.Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype, device=like.device)
                lazy.make = make
                return lazy
            def __repr__(self): return "Lazy"
            @classmethod
            def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
                real = [a.make() if isinstance(a, Lazy) else a for a in args]
                return func(*real, **(kwargs or {}))
        def stable_softmax(scores, dim=-1):
            return Lazy(lambda: torch.softmax(scores, dim), scores)
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)))
def gradient_that_explodes(work: Work) -> None:
    """Right values, from a function whose backward pass exits, hangs, and takes all memory."""
    work.write(
        "stable_softmax",
        GUARD,
        """
        import os, time
        class Bomb(torch.autograd.Function):
            @staticmethod
            def forward(ctx, out):
                return out.clone()
            @staticmethod
            def backward(ctx, grad):
                os._exit(1)
        def stable_softmax(scores, dim=-1):
            exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
            return Bomb.apply(exponentials / exponentials.sum(dim, keepdim=True))
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)), says=None)
def gradient_of_another_shape(work: Work) -> None:
    """Right values, whose gradient hook gives ten billion elements and complex ones."""
    work.write(
        "stable_softmax",
        """
        def stable_softmax(scores, dim=-1):
            exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
            out = exponentials / exponentials.sum(dim, keepdim=True)
            if out.requires_grad:
                out.register_hook(lambda g: torch.zeros(1, dtype=g.dtype).expand(10**5, 10**5))
                scores.register_hook(lambda g: g * 0)
            return out
        """,
    )


# What the feedback pages are made from, once all marks are stored


@submission()
def blank_lines_between_two(work: Work) -> None:
    """Fourteen thousand lines of one space: a highlighter goes over them once for each."""
    work.after("stable_softmax", "x = 1\n" + " \n" * 14_000 + "y = 2")


@submission()
def quotes_and_brackets_without_end(work: Work) -> None:
    """Openings of all kinds that nothing closes, behind a comment's sign and in an open string."""
    work.after("stable_softmax", "# " + "f\"{'([" * 10_000)
    work.at_the_end("'''" + '"""' * 30_001)


@submission()
def colour_without_a_number(work: Work) -> None:
    """The code that begins one of 256 colours, and does not say which."""
    work.after("stable_softmax", "print('\\x1b[38m', '\\x1b[48;5m', '\\x1b[38;2;1m')")


@submission()
def colours_without_end(work: Work) -> None:
    """300,000 characters of a terminal's codes, as output, as a value and as an error."""
    codes = "'\\x1b[1m' * 75_000"
    work.after("stable_softmax", f"print({codes})")
    work.after("stable_softmax", f"class Shown:\n    __repr__ = lambda self: {codes}\nShown()")
    work.at_the_end(f"raise ValueError({codes})")


@submission(points=NO_MASK)
def answer_too_large_to_send(work: Work) -> None:
    """An answer of half a gigabyte of real numbers."""
    work.write(
        MASK,
        GUARD,
        """
        def causal_mask(num_queries, num_keys, device=None):
            return torch.zeros(500, 1_000_000, dtype=torch.bool)
        """,
    )


@submission(points=NO_MASK, says="expected|got|long|bytes|name")
def answer_with_a_long_name(work: Work) -> None:
    """An object whose type has a name of ten megabytes: the report quotes names."""
    work.write(
        MASK,
        """
        def causal_mask(num_queries, num_keys, device=None):
            return type("N" * 10_000_000, (), {})()
        """,
    )
