"""The Attention Workshop: reference code, one module a chapter; see the book for the rest."""
