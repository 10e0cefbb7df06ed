"""Put every mutant of the chapters' references through the checks that judge a student's answer.

    python -m tests.mutants [WORD ...]            write each table to benchmarks/results/
    python -m tests.mutants [WORD ...] --check    make only the rows that were made from what is
                                                  different now, and compare with the tables there

A mutant is killed if the report is not full marks. One that is not must be in the chapter's
equivalents_WORD.toml with the reason why it is no fault; anything else that lives is a hole in the
checks, and the run fails with its diff. An entry there that no mutant bears out fails it too.
"""

import sys

from tests.mutants.table import main

if __name__ == "__main__":
    sys.exit(main())
