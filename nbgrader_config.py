"""nbgrader's settings, for its own commands, for formgrader and for ``tutor.grading``."""

from tutor.grading.release import Stamp

c = get_config()  # traitlets defines it

c.CourseDirectory.course_id = "attention-workshop"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
# nbgrader copies whatever else lies beside a source notebook into the release, and beside ours lies
# its text with the solutions.
c.CourseDirectory.ignore.append("*.md")

c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.GenerateAssignment.preprocessors.append(Stamp)

# nbgrader gives no points for a cell that has written to stderr, and a student's function may warn.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "."

# Seconds a cell: the slowest check takes half a second, the import of torch a few.
c.Execute.timeout = 60
c.Execute.interrupt_on_timeout = True
# The kernel listens on TCP, where other users of the machine could read along.
c.KernelManager.transport_encryption = "auto"
