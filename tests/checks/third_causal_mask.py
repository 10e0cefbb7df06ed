"""Wrong answers to ``causal_mask``: a third trial, by others who had not seen the traps."""

import numpy as np
import torch
from fresh import answer


# aligned at the first key: the offset Tk - Tq forgotten
@answer("aligned to the wrong corner")
def causal_mask__u01(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()


# own position left out (strictly before)
@answer("shifted back by one")
def causal_mask__u02(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    keys = torch.arange(num_keys, device=device)[None, :]
    return keys < queries


# inverted: True where a key is hidden
@answer("inverted")
def causal_mask__u03(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return torch.triu(ones, diagonal=num_keys - num_queries + 1)


# offset with the wrong sign
@answer("shifted the wrong way")
def causal_mask__u04(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)[:, None]
    keys = torch.arange(num_keys, device=device)[None, :]
    return keys <= queries - (num_keys - num_queries)


# off by one: the next key may be read
@answer("shifted forward by one")
def causal_mask__u05(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries + 1)


# an additive mask of 0 and -inf instead of bool
@answer("a mask to be added")
def causal_mask__u06(num_queries, num_keys, device=None):
    mask = torch.full((num_queries, num_keys), float("-inf"), device=device)
    return mask.triu(num_keys - num_queries + 1)


# device ignored
@answer()
def causal_mask__u07(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries)[:, None] + num_keys - num_queries
    keys = torch.arange(num_keys)
    return keys <= queries


# device taken to be a torch.device: no name, not left out
@answer()
def causal_mask__u08(num_queries, num_keys, device=None):
    keep = torch.ones(num_queries, num_keys, dtype=torch.bool)
    keep = keep.tril(num_keys - num_queries)
    if device.type != "cpu":
        keep = keep.to(device)
    return keep


# axes exchanged: (Tk, Tq)
@answer("rows of keys")
def causal_mask__u09(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)[None, :] + num_keys - num_queries
    keys = torch.arange(num_keys, device=device)[:, None]
    return keys <= queries


# generating taken for one query only: fewer queries than keys read everything
@answer("the future hidden in squares only")
def causal_mask__u10(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    if num_queries == num_keys:
        return ones.tril()
    return ones


# made in numpy
@answer()
def causal_mask__u11(num_queries, num_keys, device=None):
    keep = np.tri(num_queries, num_keys, num_keys - num_queries, dtype=bool)
    return torch.from_numpy(keep).to(device or "cpu")


# made from Python lists
@answer()
def causal_mask__u12(num_queries, num_keys, device=None):
    past = num_keys - num_queries
    rows = [[j <= i + past for j in range(num_keys)] for i in range(num_queries)]
    return torch.tensor(rows, dtype=torch.bool, device=device)


# integers instead of bool
@answer("ones and zeros instead of True and False")
def causal_mask__u13(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.int64, device=device).tril(
        num_keys - num_queries
    )


# a dimension for the batch too many
@answer("dimensions in front")
def causal_mask__u14(num_queries, num_keys, device=None):
    queries = torch.arange(num_keys - num_queries, num_keys, device=device)
    keys = torch.arange(num_keys, device=device)
    return keys[None, None, :] <= queries[None, :, None]


# loop stops before the query's own position
@answer("shifted back by one")
def causal_mask__u15(num_queries, num_keys, device=None):
    offset = num_keys - num_queries
    keep = torch.zeros(num_queries, num_keys, dtype=torch.bool, device=device)
    for query in range(num_queries):
        keep[query, : query + offset] = True
    return keep


# only the own position may be read
@answer("only itself")
def causal_mask__u16(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return torch.arange(num_keys, device=device) == queries


# time reversed: reads itself and what comes after
@answer("the future instead of the past")
def causal_mask__u17(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.triu(num_keys - num_queries)


# a window: the oldest keys fall out
@answer("a window over the past")
def causal_mask__u18(num_queries, num_keys, device=None):
    offset = num_keys - num_queries
    i = torch.arange(num_queries, device=device)[:, None]
    j = torch.arange(num_keys, device=device)[None]
    return (j <= i + offset) & (j >= i)


# one query: its dimension squeezed away
@answer("a dimension squeezed away")
def causal_mask__u19(num_queries, num_keys, device=None):
    keep = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return keep.tril(num_keys - num_queries).squeeze(0)


# a longest length built in
@answer("a longest length built in")
def causal_mask__u20(num_queries, num_keys, device=None):
    positions = torch.arange(1024, device=device)
    queries = positions[num_keys - num_queries : num_keys]
    return positions[:num_keys] <= queries[:, None]


# positions counted in half precision
@answer("positions in a short dtype")
def causal_mask__u21(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, dtype=torch.float16, device=device)
    keys = torch.arange(num_keys, dtype=torch.float16, device=device)
    return keys <= queries[:, None] + (num_keys - num_queries)


# positions counted in 8 bits
@answer("positions in a short dtype")
def causal_mask__u22(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device).to(torch.int8)
    keys = torch.arange(num_keys, device=device).to(torch.int8)
    past = torch.tensor(num_keys - num_queries, device=device).to(torch.int8)
    return keys <= queries[:, None] + past


# queries counted from the newest backwards: rows in reverse
@answer("time counted backwards")
def causal_mask__u23(num_queries, num_keys, device=None):
    back = torch.arange(num_queries, device=device)[:, None]
    keys = torch.arange(num_keys, device=device)
    return keys <= num_keys - 1 - back


# a square of queries by queries: the past left out
@answer("always square")
def causal_mask__u24(num_queries, num_keys, device=None):
    positions = torch.arange(num_queries, device=device)
    return positions[None, :] <= positions[:, None]


# the past hidden, only the queries' own stretch may be read
@answer("the past hidden")
def causal_mask__u25(num_queries, num_keys, device=None):
    past = torch.zeros(num_queries, num_keys - num_queries, dtype=torch.bool, device=device)
    own = torch.ones(num_queries, num_queries, dtype=torch.bool, device=device).tril()
    return torch.cat((past, own), dim=1)


# own position left out (strictly before); aligned at the first key: the offset forgotten
@answer("shifted back by one", "aligned to the wrong corner")
def causal_mask__u26(num_queries, num_keys, device=None):
    i = torch.arange(num_queries, device=device)[:, None]
    j = torch.arange(num_keys, device=device)[None, :]
    return j < i


# inverted: True where a key is hidden; device ignored
@answer("inverted")
def causal_mask__u27(num_queries, num_keys, device=None):
    q = torch.arange(num_keys - num_queries, num_keys).unsqueeze(1)
    k = torch.arange(num_keys).unsqueeze(0)
    return k > q


# the whole square made; its first rows cut out instead of the last
@answer("aligned to the wrong corner")
def causal_mask__u28(num_queries, num_keys, device=None):
    square = torch.tril(torch.ones(num_keys, num_keys, dtype=torch.bool, device=device))
    return square[:num_queries]


# floats instead of bool; axes exchanged: (Tk, Tq)
@answer("rows of keys", "ones and zeros instead of True and False")
def causal_mask__u29(num_queries, num_keys, device=None):
    keep = torch.ones(num_queries, num_keys, device=device).tril(num_keys - num_queries)
    return keep.T


# offset with the wrong sign; a dimension for the batch too many
@answer("dimensions in front", "shifted the wrong way")
def causal_mask__u30(num_queries, num_keys, device=None):
    i = torch.arange(num_queries, device=device)[:, None]
    j = torch.arange(num_keys, device=device)[None, :]
    return (j <= i + num_queries - num_keys).unsqueeze(0)


# off by one: the next key may be read; made from Python lists
@answer("shifted forward by one")
def causal_mask__u31(num_queries, num_keys, device=None):
    rows = []
    for i in range(num_queries):
        seen = min(num_keys, i + num_keys - num_queries + 2)
        rows.append([True] * seen + [False] * (num_keys - seen))
    return torch.tensor(rows, device=device)


# inverted: True where a key is hidden; aligned at the first key: the offset forgotten
@answer("inverted", "aligned to the wrong corner")
def causal_mask__u32(num_queries, num_keys, device=None):
    return torch.triu(torch.ones(num_queries, num_keys, device=device), diagonal=1).bool()
