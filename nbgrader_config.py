"""nbgrader's settings, for its own commands, for formgrader and for ``tutor.grading``."""

from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, SaveAutoGrades

from tutor.course.release import Stamp
from tutor.grading.nbgrader_parts import AnySubmission, Judged, ReleaseFeedback, SaveReasons
from tutor.grading.reports.pages import Pages

c = get_config()  # traitlets defines it

c.CourseDirectory.course_id = "attention-workshop"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
# nbgrader copies whatever else lies beside a source notebook into the release, and beside ours lies
# its text with the solutions.
c.CourseDirectory.ignore.append("*.md")

c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.GenerateAssignment.preprocessors.append(Stamp)

# Whatever was handed in is read as far as it can be; locked cells come from solutions/.
c.Autograde.exporter_class = AnySubmission
c.Autograde.sanitize_preprocessors = []
c.Autograde.autograde_preprocessors = [
    Judged,
    SaveAutoGrades,
    SaveReasons,
    AssignLatePenalties,
    CheckCellMetadata,
]

c.GenerateFeedback.exporter_class = Pages
c.ExchangeFactory.release_feedback = ReleaseFeedback

# False runs students' code without a sandbox: see book/instructors.md before you do.
c.Judged.sandboxed = True
# Seconds of processor time, of all of a submission's processes together; each may take as much wall
# time as wall_factor says, against waiting for ever.
c.Judged.cell_seconds = 60
c.Judged.call_seconds = 10
c.Judged.check_seconds = 60
c.Judged.submission_seconds = 300
c.Judged.wall_factor = 5
c.Judged.memory_mebibytes = 2048
c.Judged.processes = 32
c.Judged.open_files = 128
c.Judged.file_mebibytes = 64
c.Judged.tmp_mebibytes = 64
c.Judged.cell_output_kibibytes = 1024
c.Judged.total_output_kibibytes = 4096
c.Judged.notebook_mebibytes = 20
