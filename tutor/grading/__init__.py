"""From the instructor's notebook to the gradebook: release, lab, grading, reports."""
