"""A trained model with fewer key heads: chapter 8's models, pooled by chapter 10's function."""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from tutor.families import FamilyModel, shift_for_next_token
from tutor.grouped_query import pool_kv_heads
from tutor.materials.help_models import BATCH
from tutor.materials.help_pages import LENGTH, Passages
from tutor.materials.learning import learn

__all__ = ["first_heads", "pooled", "trained_on"]


def first_heads(
    w_k: Tensor, w_v: Tensor, num_heads: int, num_kv_heads: int
) -> tuple[Tensor, Tensor]:
    """The first head of each group in the place of the group's mean: what the mean is compared
    with in Ainslie et al. 2023, section 3.3."""
    share = num_heads // num_kv_heads
    w_k, w_v = (w.unflatten(0, (num_kv_heads, share, -1))[:, 0].flatten(0, 1) for w in (w_k, w_v))
    return w_k, w_v


def pooled(model: FamilyModel, num_kv_heads: int, pool=pool_kv_heads) -> FamilyModel:
    """The decoder with so many key heads in the place of those that it has; nothing else of it is
    changed, and the model itself is not either."""
    config = model.config
    heads = config.num_kv_heads or config.num_heads
    state = model.state_dict()
    for name in [n for n in state if n.endswith("in_proj_weight")]:  # all three in one
        layer = name.removesuffix("in_proj_weight")
        three = dict(zip("qkv", state.pop(name).chunk(3), strict=True))
        state |= {f"{layer}{part}_proj_weight": w for part, w in three.items()}
    for name in [n for n in state if n.endswith("k_proj_weight")]:
        layer = name.removesuffix("k_proj_weight")
        kept = [f"{layer}{part}_proj_weight" for part in "kv"]
        made = pool(*(state[n] for n in kept), heads, num_kv_heads)
        state |= dict(zip(kept, made, strict=True))
        bias = f"{layer}in_proj_bias"
        if bias in state:
            rows = [config.width, *[config.width // config.num_heads * heads] * 2]
            of_q, *of_kv = state[bias].split(rows)
            state[bias] = torch.cat((of_q, *pool(*of_kv, heads, num_kv_heads)))
    fewer = FamilyModel(replace(config, num_kv_heads=num_kv_heads))
    fewer.load_state_dict({n: w.clone() for n, w in state.items()})
    return fewer.eval()


def trained_on(
    model: FamilyModel, data: Passages, steps: int, seed: int = 0, rate: float = 1e-3
) -> tuple[FamilyModel, list[float]]:
    """A copy of it that has learned for so many steps more what comes next, and its losses."""
    model, generator = deepcopy(model), torch.Generator().manual_seed(seed)
    lengths = torch.full((BATCH,), LENGTH)

    def loss() -> Tensor:
        read, said = shift_for_next_token(data.batch(BATCH, generator).tokens, lengths)
        return F.cross_entropy(model(read).flatten(0, 1), said.flatten())

    return model, learn(model, loss, steps, rate)
