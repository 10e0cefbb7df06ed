"""How many users fit, in steps: the right way, and the wrong ones that people take."""

from tutor.checks.changes import changeable

GB, GIB = 10**9, 2**30


def refused(model, context):
    return context < 1 or model["heads"] % model["kv_heads"]


def whole(bits):
    """Bits in bytes, rounded up."""
    return -(-bits // 8)


def of_model(model, weight_bits, cache_bits):
    return whole(model["parameters"] * weight_bits)


def heads_kept(model):
    return model["kv_heads"]


def width_of(model):
    return model["head_width"]


def layers_of(model):
    return model["layers"]


def of_the_cache(weight_bits, cache_bits):
    return cache_bits


def both(numbers):
    return 2 * numbers


def of_a_token(numbers, bits):
    return whole(numbers * bits)


def decimal(memory_gb):
    return memory_gb * GB


def without_weights(memory, weights):
    return memory - weights


def of_a_user(token, context):
    return context * token


def rounded_down(left, user):
    return left // user


def none_below_zero(users):
    return max(0, users)


def in_order(weights, token, users):
    return weights, token, users


def plan(
    model,
    context,
    memory_gb,
    weight_bits=16,
    cache_bits=16,
    refused=refused,
    of_model=of_model,
    heads=heads_kept,
    width=width_of,
    layers=layers_of,
    bits=of_the_cache,
    pair=both,
    of_a_token=of_a_token,
    bytes_of=decimal,
    left=without_weights,
    of_a_user=of_a_user,
    divided=rounded_down,
    bounded=none_below_zero,
    returned=in_order,
):
    """The right numbers, but for the parts that are given."""
    if refused(model, context):
        raise ValueError(f"no plan for a context of {context}")
    weights = of_model(model, weight_bits, cache_bits)
    numbers = pair(layers(model) * heads(model) * width(model))
    token = of_a_token(numbers, bits(weight_bits, cache_bits))
    free = left(bytes_of(memory_gb), weights)
    return returned(weights, token, bounded(divided(free, of_a_user(token, context))))


with_ = changeable(plan)


# What is kept


def query_heads(model):
    return model["heads"]


def heads_of_a_group(model):
    return model["heads"] // model["kv_heads"]


def one_head(model):
    return 1


def all_of_the_width(model):
    return model["width"]


def by_the_width(model):
    return model["width"] // model["heads"]


def one_width(model):
    return 1


def one_layer(model):
    return 1


def once(numbers):
    return numbers


def four_times(numbers):
    return 4 * numbers


# Bits and bytes


def of_the_weights(weight_bits, cache_bits):
    return weight_bits


def always(bits):
    def told(weight_bits, cache_bits):
        return bits

    return told


def model_in(bits):
    def told(model, weight_bits, cache_bits):
        return whole(model["parameters"] * bits)

    return told


def model_as_the_cache(model, weight_bits, cache_bits):
    return whole(model["parameters"] * cache_bits)


def model_in_bits(model, weight_bits, cache_bits):
    return model["parameters"] * weight_bits


def model_rounded_down(model, weight_bits, cache_bits):
    return model["parameters"] * weight_bits // 8


def model_by_whole_bytes(model, weight_bits, cache_bits):
    """Bytes a number first: of 4 bits none."""
    return model["parameters"] * (weight_bits // 8)


def model_by_a_byte_at_least(model, weight_bits, cache_bits):
    return model["parameters"] * max(1, weight_bits // 8)


def model_in_floats(model, weight_bits, cache_bits):
    return model["parameters"] * weight_bits / 8


def model_counted(model, weight_bits, cache_bits):
    return model["parameters"]


def token_in_bits(numbers, bits):
    return numbers * bits


def token_counted(numbers, bits):
    return numbers


def token_in_floats(numbers, bits):
    return numbers * bits / 8


def token_by_whole_bytes(numbers, bits):
    return numbers * (bits // 8)


def token_by_a_byte_at_least(numbers, bits):
    return numbers * max(1, bits // 8)


def binary(memory_gb):
    return memory_gb * GIB


def megabytes(memory_gb):
    return memory_gb * 10**6


def as_it_is(memory_gb):
    return memory_gb


def nine_tenths(memory_gb):
    return memory_gb * GB * 9 // 10


# What is left, and for whom


def all_of_it(memory, weights):
    return memory


def added(memory, weights):
    return memory + weights


def one_token(token, context):
    return token


def one_more(token, context):
    return (context + 1) * token


def squared(token, context):
    return context * context * token


def rounded_up(left, user):
    return -(-left // user)


def rounded(left, user):
    return round(left / user)


def not_rounded(left, user):
    return left / user


def negative_too(users):
    return users


def at_least_one(users):
    return max(1, users)


def absolute(users):
    return abs(users)


def none_where_one(users):
    return max(0, users - 1)


def in_gigabytes(weights, token, users):
    return weights / GB, token, users


def whole_gigabytes(weights, token, users):
    return weights // GB, token, users


def users_alone(weights, token, users):
    return users


def users_first(weights, token, users):
    return users, weights, token


def token_first(weights, token, users):
    return token, weights, users


def a_list(weights, token, users):
    return [weights, token, users]


def floats(weights, token, users):
    return float(weights), float(token), float(users)


def model_for_each_user(model, context, memory_gb, weight_bits=16, cache_bits=16):
    """Every user brings the weights along."""
    weights, token, _ = plan(model, context, memory_gb, weight_bits, cache_bits)
    return weights, token, memory_gb * GB // (weights + context * token)


def a_users_cache(model, context, memory_gb, weight_bits=16, cache_bits=16):
    """Bytes of a whole context in the place of a token's."""
    weights, token, users = plan(model, context, memory_gb, weight_bits, cache_bits)
    return weights, context * token, users


def never(model, context):
    return False


def of_context_alone(model, context):
    return context < 1


def of_heads_alone(model, context):
    return model["heads"] % model["kv_heads"]


def none_for_nothing(left, user):
    """Where one divides by nothing, nothing comes out."""
    return left // user if user > 0 else 0
