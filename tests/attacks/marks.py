"""The words by which the class is searched for what an attack has read, written or left running.

Attacks look for these, so that one which succeeds shows. Their own text holds them in two halves.
"""

import os

CANARY = "canary-of-the-course"
"""Begins every secret that is planted around the sandbox: CANARY-<where>-<random>."""

LEFT = "left-by-an-attack"
"""In the name of every file, and on the command line of every process, that an attack leaves."""

# Two runs on one machine do not meet.
_RUN = os.getpid()

ABSTRACT = f"\0attention-workshop-attacks-{_RUN}"
"""Name of the abstract socket on which the class listens."""

PORT = 20000 + _RUN % 12000  # below the ports that Linux deals out by itself
"""Of loopback, on which the class listens."""

SOCKET = f"attention-workshop-attacks-{_RUN}.socket"
"""Name of the sockets in the file system, in the course's folder and in /tmp."""

SCRIPT = "<script>document.title = 'changed by a student'</script>"
"""What must not stand as it is in a page that somebody opens."""
