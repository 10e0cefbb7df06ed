"""What ``receptive_field`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import recurrence as reference
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.recurrence.shared import CHAPTER


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)

    def layers(kernel_sizes, dilations=None, strides=None):
        ones = [1] * len(kernel_sizes)
        rows = (kernel_sizes, dilations or ones, strides or ones)
        return tuple(torch.tensor(r, device=device, dtype=torch.int64) for r in rows)

    # Not the same from either end, or a second call with reversed numbers would be the first again.
    yield Case("dilated and strided", layers([3, 5, 2, 4], [2, 1, 3, 2], [1, 3, 2, 5]))
    yield Case("three layers of kernel 3", layers([3, 3, 3]))
    yield Case("different kernels", layers([5, 2, 7, 3]))
    yield Case("dilated", layers([2, 2, 2, 2], [1, 2, 4, 8]))
    yield Case("dilated, different kernels", layers([3, 5, 2], [2, 3, 7]))
    yield Case("strided", layers([3, 3, 4], None, [2, 2, 1]))
    n = draw.integer(5, 8)
    drawn = tuple(draw.integers(n, low=low, high=6) for low in (2, 1, 1))
    yield Case("drawn by lot", drawn)

    yield Case("one layer", layers([5]), "edges")
    yield Case("one layer, dilated and strided", layers([5], [3], [2]), "edges")
    yield Case("kernels of one", layers([1, 1, 1], [4, 2, 9], [2, 1, 3]), "edges")
    yield Case("no layer", layers([]), "edges")
    yield Case("larger steps than kernels", layers([2, 2, 3], None, [5, 7, 2]), "edges")
    yield Case("wide kernels, large steps", layers([300, 200, 400], None, [200, 300, 1]), "edges")
    # Small integers end at 127, half precision counts to 2,048, and single to 16,777,216.
    yield Case(
        "kernel 2, dilation doubled 26 times", layers([2] * 27, [2**i for i in range(27)]), "edges"
    )
    yield Case("stride 2 in 26 layers", layers([3] * 26, None, [2] * 26), "edges")


def _contract(generator: Generator, device: torch.device) -> Contract:
    """Only the call that is made on another device: a few integers cost nothing however added."""
    n = 40
    draw = Draw(generator, device)
    kernel_sizes, dilations = (draw.integers(n, low=1, high=9) for _ in range(2))
    strides = draw.integers(n, low=1, high=3)
    return Contract(
        calls=((kernel_sizes, dilations, strides),),
        max_flops=2 * n * n,
        max_written=8 * n * n,
        max_intermediate=n * n,
    )


def _field(kernel_sizes, dilations, strides, reach=None, apart=None, plus=1):
    """The right answer but for one of its parts."""
    reach = (reach or _reach)(kernel_sizes, dilations)
    return plus + (reach * (apart or _apart)(strides)).cumsum(0)


def _reach(kernel_sizes, dilations):
    return (kernel_sizes - 1) * dilations


def _apart(strides):
    return strides.cumprod(0) // strides


def _dilation_forgotten(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k - 1)


def _stride_forgotten(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=torch.ones_like)


def _plain(kernel_sizes, dilations, strides):
    return _dilation_forgotten(kernel_sizes, dilations, torch.ones_like(strides))


def _whole_kernels(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d)


def _sum_of_kernels(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d, plus=0)


def _sum_of_widths(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: (k - 1) * d + 1, plus=0)


def _dilated_kernel(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d - 1)


def _no_one(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, plus=0)


def _product(kernel_sizes, dilations, strides):
    return ((kernel_sizes - 1) * dilations + 1).cumprod(0)


def _product_of_kernels(kernel_sizes, dilations, strides):
    return kernel_sizes.cumprod(0)


def _own_stride(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s.cumprod(0))


def _stride_of_the_layer(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s)


def _stride_before_only(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: torch.cat((torch.ones_like(s[:1]), s[:-1])),
    )


def _strides_after(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: s.flip(0).cumprod(0).flip(0) // s,
    )


def _strides_added(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: 1 + s.cumsum(0) - s)


def _dilations_multiplied(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations.cumprod(0), strides)


def _largest(kernel_sizes, dilations, strides):
    if not len(kernel_sizes):
        return torch.zeros_like(kernel_sizes)
    return ((kernel_sizes - 1) * dilations + 1).cummax(0).values


def _each(kernel_sizes, dilations, strides):
    return (kernel_sizes - 1) * dilations + 1


def _last_only(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations * _apart(strides)).sum()


def _from_the_input(kernel_sizes, dilations, strides):
    right = _field(kernel_sizes, dilations, strides)
    return torch.cat((torch.ones_like(right[:1]), right)) if len(right) else right + 1


def _divided(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations // strides).cumsum(0)


def _divided_by_those_before(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations // _apart(strides)).cumsum(0)


_SECTION = "How far a convolution sees"

RECEPTIVE_FIELD = Exercise(
    reference=reference.receptive_field,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1},
    cases=_cases,
    contract=_contract,
    traps=(
        Trap(
            "the dilation forgotten",
            _dilation_forgotten,
            "a dilated kernel has gaps: its k taps reach over (k - 1) · d + 1 positions. Without "
            "the dilation, stacks that double it look no better than plain ones.",
            _SECTION,
            (_plain,),
        ),
        Trap(
            "the strides forgotten",
            _stride_forgotten,
            "after a layer of stride 2, neighbours stand two inputs apart, and every later kernel "
            "reaches twice as far.",
            _SECTION,
        ),
        Trap(
            "divided by the stride",
            _divided,
            "a stride makes the output shorter, and what one output sees *wider*: its neighbours "
            "stand further apart in the input. The strides before a layer multiply its reach.",
            _SECTION,
            (_divided_by_those_before,),
        ),
        Trap(
            "k instead of k - 1",
            _whole_kernels,
            "a kernel of k sees k - 1 positions *beside* the one it stands on, and that one is "
            "counted once, not in every layer. Kernel 1 adds nothing.",
            _SECTION,
            (_sum_of_kernels, _sum_of_widths),
        ),
        Trap(
            "a dilated kernel of k · d",
            _dilated_kernel,
            "k taps have k - 1 gaps between them. The dilated kernel is (k - 1) · d + 1 wide, not "
            "k · d.",
            _SECTION,
        ),
        Trap(
            "the position itself not counted",
            _no_one,
            "the sum of all reaches says how far back the output sees. The position it stands on "
            "is one more.",
            _SECTION,
        ),
        Trap(
            "multiplied instead of added",
            _product,
            "each layer *adds* what its kernel reaches. Receptive fields multiply only if every "
            "layer strides by its kernel's whole width.",
            _SECTION,
            (_product_of_kernels,),
        ),
        Trap(
            "the layer's own stride",
            _own_stride,
            "a layer's kernel reads the layer's *input*, before its own stride: the product runs "
            "over the strides of the layers before it.",
            _SECTION,
            (_stride_of_the_layer,),
        ),
        Trap(
            "strides do not add up, they multiply",
            _stride_before_only,
            "the gap between neighbours is the product of all strides before the layer: not the "
            "last one alone, nor their sum, nor those that come after.",
            _SECTION,
            (_strides_added, _strides_after),
        ),
        Trap(
            "dilations multiplied up",
            _dilations_multiplied,
            "a dilation is counted in positions of the layer's own input, and every layer has its "
            "own. Only strides are handed on to the layers above.",
            _SECTION,
        ),
        Trap(
            "each layer by itself",
            _each,
            "layers stand on top of each other: the second sees what the first one saw at each of "
            "its taps. The largest kernel alone does not say how far the network sees.",
            _SECTION,
            (_largest,),
        ),
        Trap(
            "one number, or one too many",
            _last_only,
            "asked for is the field after *each* layer, the first one's first: as many numbers as "
            "there are layers.",
            _SECTION,
            (_from_the_input,),
        ),
    ),
)
