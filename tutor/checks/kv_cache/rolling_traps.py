"""What goes wrong with a rolling cache, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.kv_cache import rollings as part
from tutor.checks.kv_cache.shared import ROLLING

TRAPS = (
    Trap(
        "positions begin again",
        part.BeginAgain,
        "the *place* goes round, the position goes on: the token of position 4,100 stands at a "
        "place below 4,096, and is still turned by its own angle. Counted anew, it looks older "
        "than the token that it follows.",
        ROLLING,
        (part.OfThePiece,),
    ),
    Trap(
        "the oldest stays",
        part.OldestStays,
        "a window keeps the newest. When it is full, each new token takes the place of the oldest "
        "one.",
        ROLLING,
        (part.LastPlace,),
    ),
    Trap(
        "all move up",
        part.MovesUp,
        "kept in their order, all move for each that arrives, and a step copies the window. A "
        "token of position p stays at place p mod window until it leaves: attention asks a set, "
        "and who stands where makes no difference to it.",
        ROLLING,
    ),
    Trap(
        "the window forgotten",
        part.Forgotten,
        "no more than `window` tokens are kept. A model that learned with a window and decodes "
        "without one reads what it has never been shown, and its memory grows without limit.",
        ROLLING,
    ),
    Trap(
        "a new tensor each time",
        part.NewMemory,
        "the memory is made once, in the constructor, and written into.",
        ROLLING,
        (part.ResetByAnother,),
    ),
    Trap(
        "one place too many",
        part.OneMore,
        "a window of W tokens has W places: the newest token is one of them.",
        ROLLING,
    ),
    Trap(
        "the first of a long piece",
        part.FirstOfALongOne,
        "of a piece that is longer than the window the *last* tokens stay.",
        ROLLING,
    ),
    Trap(
        "a piece from place 0",
        part.ByThePiece,
        "the place of a token hangs on its position alone, p mod window, and not on the piece that "
        "it came in.",
        ROLLING,
        (part.FromPlaceZero, part.BegunAnew, part.PlaceFromOne),
    ),
    Trap(
        "cut off at the end of the memory",
        part.CutAtTheEnd,
        "a piece that goes over the last place goes on at place 0.",
        ROLLING,
    ),
    Trap(
        "one token of several",
        part.OneOfSeveral,
        "a call may bring many tokens, and each has a place.",
        ROLLING,
    ),
    Trap(
        "the whole memory",
        part.Whole,
        "before the window is full, only the first `length` places hold a token. A zero is no "
        "absent key: its score is 0, and after the softmax it has a share as large as others.",
        ROLLING,
    ),
    Trap(
        "without the new ones",
        part.OldAlone,
        "a token reads itself, too: how many stand in the window is counted when all have been "
        "written.",
        ROLLING,
    ),
    Trap(
        "the new ones alone",
        part.NewAlone,
        "the query asks all that is in the window, and not what has just come.",
        ROLLING,
    ),
    Trap(
        "sorted before it is returned",
        part.OldestFirst,
        "returned is what stands there, as it stands: sorting copies the window in every step, and "
        "attention asks a set. Who wants to know the order has `positions`.",
        ROLLING,
    ),
    Trap(
        "the length stops at the window",
        part.StopsAtTheWindow,
        "`length` counts all that has been read: the next position is made of it. If it stops, all "
        "tokens that follow get one position, and one place.",
        ROLLING,
        (part.GoesRoundItself,),
    ),
    Trap(
        "one place for each call",
        part.OneForACall,
        "a call brings t tokens: `length` moves on by t.",
        ROLLING,
    ),
    Trap(
        "positions from 1",
        part.FromOne,
        "the first token has position 0, as everywhere in this course.",
        ROLLING,
    ),
    Trap(
        "position 0 for nobody",
        part.Zeros,
        "0 is the position of a token. Where none stands, `positions` says -1.",
        ROLLING,
    ),
    Trap(
        "keys and values mixed up",
        part.KeysTwice,
        "keys go with keys and values with values. The shapes agree, so nothing raises.",
        ROLLING,
        (part.ValuesTwice, part.Filled),
    ),
    Trap(
        "a reset that resets half",
        part.LengthAlone,
        "after a reset nothing is left: zeros, positions of -1, and a length of 0. What of it "
        "stays is a part of the next conversation, or its wrong beginning.",
        ROLLING,
        (part.LengthStays, part.PositionsStay, part.NumbersStay, part.NoReset),
    ),
    Trap(
        "the caller's tensors kept",
        part.Borrowed,
        "the next layer, or the next step, may write into the very tensors that came. Copy the "
        "numbers into memory of your own.",
        ROLLING,
    ),
    Trap(
        "stretched to fit",
        part.Broadcast,
        "an assignment broadcasts: of one head, one row or one feature there are as many copies as "
        "the cache has room for, and nobody notices. Compare the shapes first.",
        ROLLING,
        (part.OfOneLength,),
    ),
    Trap(
        "a dtype of its own",
        part.AlwaysSingle,
        "the cache has the dtype that the constructor is given, and not torch's default.",
        ROLLING,
    ),
)
