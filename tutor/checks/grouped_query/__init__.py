"""Chapter 10's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.grouped_query.concurrent_users import CONCURRENT_USERS
from tutor.checks.grouped_query.expand_kv_heads import EXPAND_KV_HEADS
from tutor.checks.grouped_query.grouped_query_attention import GROUPED_QUERY_ATTENTION
from tutor.checks.grouped_query.pool_kv_heads import POOL_KV_HEADS
from tutor.checks.grouped_query.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    EXPAND_KV_HEADS,
    GROUPED_QUERY_ATTENTION,
    POOL_KV_HEADS,
    CONCURRENT_USERS,
)
