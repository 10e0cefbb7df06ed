"""IPython as a notebook has it, without a kernel around it: what a cell puts out, up to a size."""

import io
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Instance, Type

_CUT = "\n[the output is longer than this and was cut]\n"


class Outputs:
    """What a cell has put out so far, in order and as a notebook holds it, up to a size."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.left = 0
        self.silent = True

    def start(self, size: int) -> None:
        self.items, self.left, self.silent = [], size, False

    def text(self, name: str, text: str) -> None:
        last = self.items[-1] if self.items else None
        if self.silent or not text:
            return
        text, self.left = self._fitting(text), self.left - len(text)
        if last and last["output_type"] == "stream" and last["name"] == name:
            last["text"] += text
        else:
            self.items.append({"output_type": "stream", "name": name, "text": text})

    def add(self, output: dict[str, Any], size: int) -> None:
        if self.silent or self.left < 0:
            return
        self.left -= size
        if self.left < 0:
            output = {"output_type": "stream", "name": "stdout", "text": _CUT}
        self.items.append(output)

    def _fitting(self, text: str) -> str:
        if self.left < 0:
            return ""
        return text if len(text) <= self.left else text[: self.left] + _CUT


OUTPUTS = Outputs()


class Stream(io.TextIOBase):
    encoding = "utf-8"

    def __init__(self, name: str):
        self.name = name

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        OUTPUTS.text(self.name, text)
        return len(text)


def _readable(data: dict[str, Any]) -> dict[str, Any]:
    """Text and pictures: markup would run in the browser of whoever reads the notebook."""
    kept = {}
    for kind in ("text/plain", "image/png", "image/jpeg"):
        if (value := data.get(kind)) is not None:
            if isinstance(value, bytes):
                import base64

                value = base64.b64encode(value).decode()
            kept[kind] = str(value)
    return kept


class Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, *, transient=None, update=False, **kwargs) -> None:
        shown = _readable(data)
        output = {"output_type": "display_data", "data": shown, "metadata": {}}
        OUTPUTS.add(output, sum(map(len, shown.values())) + 100)

    def clear_output(self, wait=False) -> None:
        OUTPUTS.items.clear()


class Displayed(DisplayHook):
    def start_displayhook(self) -> None:
        pass

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict, md_dict=None) -> None:
        shown = _readable(format_dict)
        output = {"output_type": "execute_result", "data": shown, "metadata": {}}
        output["execution_count"] = self.prompt_count
        OUTPUTS.add(output, sum(map(len, shown.values())) + 100)

    def finish_displayhook(self) -> None:
        pass


class Shell(InteractiveShell):
    display_pub_class = Type(Publisher)
    displayhook_class = Type(Displayed)
    user_ns = Instance(dict, allow_none=True)

    def init_io(self) -> None:
        pass

    def init_display_formatter(self) -> None:
        super().init_display_formatter()
        # All of them, as in a notebook: only the readable ones are kept.
        self.display_formatter.active_types = self.display_formatter.format_types

    def _showtraceback(self, etype, evalue, stb) -> None:
        lines = list(map(str, stb))
        message = _text(evalue)
        output = {"output_type": "error", "ename": etype.__name__, "evalue": message}
        OUTPUTS.add({**output, "traceback": lines}, len(message) + sum(map(len, lines)))

    def ask_exit(self) -> None:
        """``exit()`` in a notebook ends the kernel. Here it ends nothing that was asked for."""

    def enable_gui(self, gui=None) -> None:
        pass


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception of the student's own
        return ""


def make_shell() -> Shell:
    """One for the life of the process. Before the fork: it takes a while."""
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.Completer.use_jedi = False
    shell = Shell.instance(config=config, user_ns={"__name__": "__main__"})
    shell.separate_in = ""
    shell.enable_matplotlib("inline")
    shell.run_cell("1")
    shell.execution_count = 1
    return shell
