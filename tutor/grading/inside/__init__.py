"""What runs inside the sandbox. Of the course it imports ``tutor.checks.candidate``,
``tutor.checks.cost`` and ``tutor.grading.wire``, and nothing that knows an answer."""
