"""Chapter 1's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.recurrence.gradient_norm_by_lag import GRADIENT_NORM_BY_LAG
from tutor.checks.recurrence.gru_step import GRU_STEP
from tutor.checks.recurrence.last_hidden import LAST_HIDDEN
from tutor.checks.recurrence.lstm_step import LSTM_STEP
from tutor.checks.recurrence.receptive_field import RECEPTIVE_FIELD
from tutor.checks.recurrence.rnn_step import RNN_STEP
from tutor.checks.recurrence.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    RNN_STEP,
    LSTM_STEP,
    GRU_STEP,
    LAST_HIDDEN,
    RECEPTIVE_FIELD,
    GRADIENT_NORM_BY_LAG,
)
