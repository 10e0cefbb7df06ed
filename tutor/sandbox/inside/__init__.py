"""What runs inside the sandbox. Of the course it imports ``tutor.checks.candidate``,
``tutor.checks.cost`` and ``tutor.sandbox.wire``, and nothing that knows an answer."""
