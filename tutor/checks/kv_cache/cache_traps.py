"""What goes wrong with a cache, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.kv_cache import caches as part
from tutor.checks.kv_cache.shared import CACHE

TRAPS = (
    Trap(
        "always at the beginning",
        part.AtTheBeginning,
        "the next tokens stand behind those that are there, from place `length` on. Written to the "
        "beginning, each takes the place of the first.",
        CACHE,
        (part.NeverMoves,),
    ),
    Trap(
        "one place for each call",
        part.OneForACall,
        "a call brings t tokens, and the first of them a whole prompt: `length` moves on by t, or "
        "the next call writes over most of what came.",
        CACHE,
        (part.OneForACallReadAll,),
    ),
    Trap(
        "on by the prompt's length in every step",
        part.PromptEachTime,
        "how far `length` moves says *this* call: one token, one place. Moved on by the length of "
        "the prompt each time, it leaves gaps of zeros that queries read.",
        CACHE,
    ),
    Trap(
        "the new ones alone",
        part.NewAlone,
        "the query asks all that has been read: return everything up to the new length, and not "
        "what has just come.",
        CACHE,
        (part.NewAsTheyCame,),
    ),
    Trap(
        "the whole memory",
        part.Whole,
        "behind `length` stands nothing yet. A zero is no absent key: its score is 0, and after "
        "the softmax it has a share as large as others.",
        CACHE,
    ),
    Trap(
        "without the new ones",
        part.OneTooFew,
        "a token reads itself, too: write first, and return what is there *then*.",
        CACHE,
    ),
    Trap(
        "one token of several",
        part.LastTokenAlone,
        "a call may bring many tokens, and each has a place: `length` to `length + t`.",
        CACHE,
    ),
    Trap(
        "the prompt never written",
        part.PromptNotWritten,
        "the keys and values of the prompt belong into the cache like all others. If its rows stay "
        "0, the model writes on after a prompt that it has forgotten, fluently.",
        CACHE,
        (part.SeveralNotWritten,),
    ),
    Trap(
        "keys and values mixed up",
        part.KeysTwice,
        "keys go with keys and values with values. The shapes agree, so nothing raises.",
        CACHE,
        (part.ValuesTwice, part.Exchanged, part.Filled, part.KeysReturnedTwice),
    ),
    Trap(
        "one row for all",
        part.FirstRow,
        "each row of the batch, and each head, has keys and values of its own.",
        CACHE,
        (part.FirstHead,),
    ),
    Trap(
        "time before heads",
        part.TimeFirst,
        "in this course heads stand before time: (B, G, capacity, D). Attention reads it so, "
        "without a transposition in every step.",
        CACHE,
        (part.TimeFirstReturned,),
    ),
    Trap(
        "the newest at the end of the memory",
        part.AtTheEnd,
        "tokens keep their places: the first at 0, the newest at `length - 1`. If all move up for "
        "each new one, a step copies everything.",
        CACHE,
    ),
    Trap(
        "a new tensor each time",
        part.Grows,
        "`torch.cat` makes a new tensor and copies all that was there: the thousandth step copies "
        "a thousand tokens to add one, and for a moment both exist. The memory is made once, in "
        "the constructor, and written into.",
        CACHE,
        (part.Rebound, part.Padded),
    ),
    Trap(
        "a reset with new memory",
        part.ResetByAnother,
        "`reset` forgets in the memory that is there: `zero_()`. Who holds the old tensors would "
        "read the last text in them, and for a moment twice the memory is taken.",
        CACHE,
    ),
    Trap(
        "the caller's tensors kept",
        part.Borrowed,
        "the next layer, or the next step, may write into the very tensors that came. Copy the "
        "numbers into memory of your own: `self.keys[:, :, a:b] = k`.",
        CACHE,
    ),
    Trap(
        "a reset that resets half",
        part.LengthAlone,
        "after a reset nothing is left: keys and values are zeros, and `length` is 0. What of it "
        "stays is a part of the next conversation, or its wrong beginning.",
        CACHE,
        (part.NumbersAlone, part.KeysAlone, part.NoReset),
    ),
    Trap(
        "the last place stays empty",
        part.NeverFull,
        "capacity tokens fit, and not one less: what does not fit is length + t > capacity.",
        CACHE,
    ),
    Trap(
        "more than fit",
        part.NotRefused,
        "a slice that reaches over the end is silently shorter, and tokens are lost without a "
        "word. Raise a ValueError before anything is written.",
        CACHE,
        (part.GoesRound, part.Shortened),
    ),
    Trap(
        "stretched to fit",
        part.Broadcast,
        "an assignment broadcasts: of one head, one row or one feature there are as many copies as "
        "the cache has room for, and nobody notices. Compare the shapes first.",
        CACHE,
        (part.ByKeys,),
    ),
    Trap(
        "a dtype of its own",
        part.AlwaysSingle,
        "the cache has the dtype that the constructor is given: half precision in a single "
        "precision cache takes twice the memory, and the other way round digits are lost.",
        CACHE,
        (part.AlwaysHalf,),
    ),
)
