"""What a loop that writes gives to its model: the right tokens, and other ones."""

import torch


def each_by_itself(model, prompts, rows):
    return torch.cat([model(p[None], rows[b : b + 1]) for b, p in enumerate(prompts)])


def newest_alone(model, prompts, written, rows):
    return model(written[-1][:, None], rows)


# Reading the prompts


def last_token_of_each(model, prompts, rows):
    return model(torch.stack([p[-1:] for p in prompts]), rows)


def first_token_of_each(model, prompts, rows):
    return model(torch.stack([p[:1] for p in prompts]), rows)


def but_the_last(model, prompts, rows):
    return each_by_itself(model, [p[:-1] if len(p) > 1 else p for p in prompts], rows)


def backwards(model, prompts, rows):
    return each_by_itself(model, [p.flip(0) for p in prompts], rows)


def padded(model, prompts, rows):
    longest = max(map(len, prompts))
    zeros = [torch.cat((p, p.new_zeros(longest - len(p)))) for p in prompts]
    return model(torch.stack(zeros), rows)


def padded_with_the_last(model, prompts, rows):
    longest = max(map(len, prompts))
    more = [torch.cat((p, p[-1:].expand(longest - len(p)))) for p in prompts]
    return model(torch.stack(more), rows)


def padded_left(model, prompts, rows):
    longest = max(map(len, prompts))
    zeros = [torch.cat((p.new_zeros(longest - len(p)), p)) for p in prompts]
    return model(torch.stack(zeros), rows)


def up_to_the_shortest(model, prompts, rows):
    shortest = min(map(len, prompts))
    return model(torch.stack([p[:shortest] for p in prompts]), rows)


def last_of_the_shortest(model, prompts, rows):
    shortest = min(map(len, prompts))
    return model(torch.stack([p[-shortest:] for p in prompts]), rows)


def token_by_token(model, prompts, rows):
    """What comes of the model's memory alone."""
    found = [[model(t[None, None], rows[b : b + 1]) for t in p] for b, p in enumerate(prompts)]
    return torch.cat([logits[-1] for logits in found])


def into_the_first_row(model, prompts, rows):
    return torch.cat([model(p[None], rows[:1]) for p in prompts])


def the_first_for_all(model, prompts, rows):
    return model(prompts[0][None], rows[:1]).expand(len(prompts), -1)


# Going on


def all_again(model, prompts, written, rows):
    texts = (torch.cat((p, torch.stack(written, 1)[b])) for b, p in enumerate(prompts))
    return torch.cat([model(t[None], rows[b : b + 1]) for b, t in enumerate(texts)])


def all_written(model, prompts, written, rows):
    return model(torch.stack(written, 1), rows)


def the_prompts_end(model, prompts, written, rows):
    """Each token is given one step too late."""
    if len(written) == 1:
        return model(torch.stack([p[-1:] for p in prompts]), rows)
    return model(written[-2][:, None], rows)


def the_first_written(model, prompts, written, rows):
    return model(written[0][:, None], rows)


def the_last_two(model, prompts, written, rows):
    if len(written) == 1:
        ends = torch.stack([p[-1] for p in prompts])
        return model(torch.stack((ends, written[-1]), 1), rows)
    return model(torch.stack(written[-2:], 1), rows)


def twice(model, prompts, written, rows):
    return model(torch.stack((written[-1], written[-1]), 1), rows)


def prompts_again(model, prompts, written, rows):
    return each_by_itself(model, prompts, rows)


def first_rows_token(model, prompts, written, rows):
    return model(written[-1][:1, None].expand(len(prompts), -1), rows)
