"""What lies beside the notebook, and in its place."""

from tests.attacks import marks
from tests.attacks.corpus import FULL, NOTHING, Directory, Link, Pipe, Work, only, submission

SHOUT = f"""
import builtins, sys
print("shadowed" + " a module")
open("{marks.LEFT}-by-a-module", "w").close()
class Fake:
    def __getattr__(self, name): return self
    def __call__(self, *args, **kwargs): return self
builtins.check = lambda function: 6.0
""".encode()


def _shadows(work: Work, *names: str) -> None:
    for name in names:
        work.files[name] = SHOUT
        work.files[name.replace(".py", "/__init__.py")] = SHOUT


@submission(hides="shadowed a module")
def shadows_torch(work: Work) -> None:
    """torch.py, numpy.py and what they load, in the folder from which the notebook is run."""
    _shadows(work, "torch.py", "numpy.py", "safetensors.py", "typing.py", "random.py")


@submission(hides="shadowed a module")
def shadows_jupyter(work: Work) -> None:
    """ipykernel.py, IPython.py, traitlets.py, zmq.py."""
    _shadows(work, "ipykernel.py", "ipykernel_launcher.py", "IPython.py", "traitlets.py", "zmq.py")


@submission(hides="shadowed a module")
def shadows_startup(work: Work) -> None:
    """What Python and IPython run before the first cell."""
    _shadows(work, "sitecustomize.py", "usercustomize.py")
    work.files["left.pth"] = b"import sitecustomize\n"
    work.files["pyvenv.cfg"] = b"home = .\n"
    work.files[".ipython/profile_default/startup/00.py"] = SHOUT
    work.files["ipython_config.py"] = SHOUT
    work.files["jupyter_config.py"] = SHOUT


@submission(hides="shadowed a module")
def shadows_the_course(work: Work) -> None:
    """A package tutor with checks that are kind, and a configuration for nbgrader."""
    work.files["tutor/__init__.py"] = SHOUT
    work.files["tutor/checks/__init__.py"] = SHOUT + b"def check(function): return 6.0\n"
    work.files["tutor/grading/__init__.py"] = SHOUT
    work.files["nbgrader_config.py"] = SHOUT + b"c = get_config()\nc.Execute.enabled = False\n"
    work.files["conftest.py"] = SHOUT


@submission()
def shadows_grades(work: Work) -> None:
    """Files that bear the names of what the grader writes."""
    for name in ("gradebook.db", "grades.csv", "attention.html", "report.html", ".grading-secret"):
        work.files[name] = b"left-by-an-attack"
    work.files["autograded/attention.ipynb"] = work.text().encode()
    work.files["attention.md"] = b"# The solutions of somebody\n"


@submission()
def link_to_the_grades(work: Work) -> None:
    """Links beside the notebook: to secrets, to the gradebook, to what others have handed in."""
    work.files["secret.txt"] = Link(f"../../../{marks.CANARY}.txt")
    work.files["book.db"] = Link("../../../gradebook.db")
    work.files["passwd"] = Link("/etc/passwd")
    work.files["shadow"] = Link("/etc/shadow")
    work.files["others"] = Link("../../../private")
    work.files["nowhere"] = Link("/no/such/place")


@submission()
def link_to_itself(work: Work) -> None:
    """A folder that contains itself, and two links that point at each other."""
    work.files["loop"] = Link(".")
    work.files["a"] = Link("b")
    work.files["b"] = Link("a")


@submission(points=NOTHING, says=r"\blink\b")
def link_for_a_notebook(work: Work) -> None:
    """The notebook is a link to another student's."""
    work.place = Link("../../all_solved/03_attention/attention.ipynb")


@submission(points=NOTHING, says=r"\blink\b")
def link_to_a_secret_for_a_notebook(work: Work) -> None:
    """The notebook is a link to a file of the instructor's."""
    work.place = Link(f"../../../{marks.CANARY}.txt")


@submission(points=NOTHING, says=r"\blink\b")
def link_to_the_solutions_for_a_notebook(work: Work) -> None:
    """The notebook is a link to the instructor's own, with all the solutions."""
    work.place = Link("../../../../../../solutions/03_attention/attention.ipynb")


@submission(points=NOTHING, says=r"\blink\b")
def broken_link_for_a_notebook(work: Work) -> None:
    """The notebook is a link to nothing."""
    work.place = Link("gone.ipynb")


@submission(points=NOTHING, says=r"\blink\b|device|file|pipe")
def endless_device_for_a_notebook(work: Work) -> None:
    """The notebook is a link to a file without an end."""
    work.place = Link("/dev/zero")


@submission(points=NOTHING, says="pipe|not a file|no file|regular file|ordinary file")
def pipe_for_a_notebook(work: Work) -> None:
    """The notebook is a named pipe: whoever opens it waits."""
    work.place = Pipe()


@submission(points=NOTHING, says="folder|directory|not a file|no file|regular file|ordinary file")
def folder_for_a_notebook(work: Work) -> None:
    """A folder bears the notebook's name."""
    work.place = Directory()


@submission()
def pipe_beside(work: Work) -> None:
    """A named pipe lies beside the notebook: whoever copies the folder waits."""
    work.files["pipe"] = Pipe()
    work.files["data/pipe"] = Pipe()


@submission()
def odd_file_names(work: Work) -> None:
    """Names with spaces, quotes, line breaks, stars and bytes that are no text."""
    for name in (
        "my work (final) \"2\".ipynb.txt", "it's mine.txt", "a\nb.txt", "*", "[", "--force",
        "$(touch left-by-an-attack-name)", "`id`", "%s%n", "; rm -rf .", "ü\u202e.txt", " ",
        "x" * 250,
    ):  # fmt: skip
        work.files[name] = b"nothing"
    work.files[b"\xff\xfe.txt"] = b"nothing"


@submission()
def deep_folders(work: Work) -> None:
    """Folders within folders, as deep as a path may be long."""
    work.files["/".join(["d" * 100] * 30) + "/end.txt"] = b"nothing"


@submission()
def thousands_of_files(work: Work) -> None:
    """Five thousand files beside the notebook."""
    for n in range(5000):
        work.files[f"many/{n}.txt"] = b""


@submission()
def timestamp_of_nonsense(work: Work) -> None:
    """timestamp.txt, from which nbgrader reads when the work came in, holds no time."""
    work.files["timestamp.txt"] = b"\xff\xfe yesterday, I promise; 99999999-99-99"


@submission()
def timestamp_far_away(work: Work) -> None:
    """timestamp.txt holds a time that no calendar can reckon with."""
    work.files["timestamp.txt"] = b"9999-12-31 23:59:59.999999 -2359\n"


@submission()
def timestamp_of_many_digits(work: Work) -> None:
    """timestamp.txt holds a number of minutes that Python's decimals cannot hold."""
    work.files["timestamp.txt"] = b"1" * 30 + b"m"


@submission()
def timestamp_is_a_folder(work: Work) -> None:
    """timestamp.txt is a folder."""
    work.files["timestamp.txt"] = Directory()


@submission()
def timestamp_is_a_link(work: Work) -> None:
    """timestamp.txt is a link to a file of the instructor's, which an error message would quote."""
    work.files["timestamp.txt"] = Link(f"../../../{marks.CANARY}.txt")


@submission()
def two_notebooks(work: Work) -> None:
    """A copy with other answers lies beside the notebook: the one that bears the name counts."""
    other = Work()
    for name in FULL:
        other.write(name, "raise NotImplementedError")
    work.files["attention-Copy1.ipynb"] = other.text().encode()
    work.files["Attention.ipynb"] = other.text().encode()
    work.files["old/attention.ipynb"] = other.text().encode()
    work.files[".ipynb_checkpoints/attention-checkpoint.ipynb"] = other.text().encode()


@submission(points=NOTHING, says=r"attention\.ipynb")
def another_name(work: Work) -> None:
    """The notebook bears another name, as a browser gives it to a second download."""
    work.name = "attention (1).ipynb"


@submission(points=NOTHING, says=r"attention\.ipynb", hides="<img")
def scripts_in_a_file_name(work: Work) -> None:
    """The only notebook bears a name that a page would run, and a terminal would obey."""
    work.name = None
    work.files["<img src=x onerror=alert(1)>\x1b[2J.ipynb"] = work.text().encode()


@submission(points=NOTHING, says=r"attention\.ipynb")
def name_that_is_no_text(work: Work) -> None:
    """The only notebook bears a name of bytes that no encoding knows."""
    work.name = None
    work.files[b"\xff\xfe.ipynb"] = work.text().encode()


@submission(points=NOTHING, says=r"attention\.ipynb")
def no_notebook(work: Work) -> None:
    """Something was handed in, and it is not the notebook."""
    work.name = None
    work.files["essay.txt"] = b"My dog ate it."


@submission(student='o\'brien "the 2nd" + co')
def name_with_quotes(work: Work) -> None:
    """The student's own folder has a name with spaces and quotes."""


@submission(student="名前.é [x]", points=only("causal_mask"))
def name_with_brackets(work: Work) -> None:
    """The student's folder has a name that a pattern would not match."""
    for name in FULL:
        if name != "causal_mask":
            work.write(name, "")


@submission(student="\x1b[2J\x1b[31mred\x1b]0;title\x07")
def name_that_a_terminal_obeys(work: Work) -> None:
    """The student's folder has a name of a terminal's codes, and something to say about it."""
    work.files["timestamp.txt"] = b"some day"


@submission(student='=HYPERLINK("x")')
def name_that_a_spreadsheet_runs(work: Work) -> None:
    """The student's folder has the name of a formula."""


@submission()
def timestamp_of_several_places(work: Work) -> None:
    """timestamp.txt names a zone that India, Israel and Ireland have, on a 12-hour clock."""
    work.files["timestamp.txt"] = b"2026-12-01 6:55 PM IST\n"


@submission()
def secret_that_is_a_link(work: Work) -> None:
    """The exchange's secret is a link to a file of the instructor's, which would be copied."""
    work.files["submission_secret.txt"] = Link(f"../../../{marks.CANARY}.txt")


@submission()
def secret_of_nonsense(work: Work) -> None:
    """The exchange's secret is megabytes of something, and the time a pipe."""
    work.files["submission_secret.txt"] = b"\xff/../" * 1_000_000
    work.files["timestamp.txt"] = Pipe()
