"""What runs inside the sandbox. Of the course it imports ``tutor.checks.candidate`` and what that
needs (``cost``, ``modes``, ``names``, ``response``) and ``tutor.sandbox.wire``: nothing that knows
an answer.
"""
