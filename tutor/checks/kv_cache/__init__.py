"""Chapter 9's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.kv_cache.chunked_prefill import CHUNKED_PREFILL
from tutor.checks.kv_cache.decode_step import DECODE_STEP
from tutor.checks.kv_cache.generate import GENERATE
from tutor.checks.kv_cache.kv_cache_bytes import KV_CACHE_BYTES
from tutor.checks.kv_cache.KVCache import KV_CACHE
from tutor.checks.kv_cache.RollingCache import ROLLING_CACHE
from tutor.checks.kv_cache.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    KV_CACHE_BYTES,
    KV_CACHE,
    DECODE_STEP,
    CHUNKED_PREFILL,
    ROLLING_CACHE,
    GENERATE,
)
