"""What is particular to the mutants of chapter 1."""

HELPERS: dict[str, tuple[str, ...]] = {}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "rnn_step": ("torch.rnn_tanh_cell(x, h, w_ih, w_hh, b_ih, b_hh)",),
    "lstm_step": ("torch.lstm_cell(x, (h, c), w_ih, w_hh, b_ih, b_hh)",),
    "gru_step": ("torch.gru_cell(x, h, w_ih, w_hh, b_ih, b_hh)",),
}
"""The library does the work: what the function may not return."""
