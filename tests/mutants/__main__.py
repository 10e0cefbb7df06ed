"""Put every mutant of chapter 3's reference through the checks that judge a student's answer.

    python -m tests.mutants            write the table to benchmarks/results/
    python -m tests.mutants --check    compare with the table there instead

A mutant is killed if the report is not full marks. One that is not must be in equivalents.toml
with the reason why it is no fault; anything else that lives is a hole in the checks, and the run
fails with its diff. An entry there that no mutant bears out fails it too.
"""

import sys

from tests.mutants.run import main

if __name__ == "__main__":
    sys.exit(main())
