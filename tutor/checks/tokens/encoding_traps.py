"""The wrong encoders and their misconceptions."""

from tutor.checks.exercise import Trap
from tutor.checks.tokens import encoders
from tutor.checks.tokens.encoders import with_
from tutor.checks.tokens.shared import MERGING, overlaps

_BYTES, _WITHIN, _RANK = "Bytes, characters, words", "Within pieces", "Encoding by rank"


TRAPS = (
    Trap(
        "in reading order",
        with_(chosen=encoders.reading_order),
        "the first pair from the left that is a merge is taken, whatever its rank. Training "
        "made the early merges first, so encoding must: in `abcd` with the merges bc, ab the "
        "pair bc goes first, and then no ab is left.",
        _RANK,
        (with_(loop=encoders.one_pass),),
    ),
    Trap(
        "the longest token",
        with_(loop=encoders.longest_match),
        "the longest token that fits is WordPiece's rule. Byte-pair encoding repeats the "
        "training: it merges the pair of lowest rank, and may never make the longest token.",
        _RANK,
        (encoders.longest_of_all,),
    ),
    Trap(
        "the highest rank first",
        with_(chosen=encoders.highest),
        "the merge of the lowest rank was learned first and goes first: `min`, not `max`.",
        _RANK,
        (with_(loop=encoders.last_rank_once),),
    ),
    Trap(
        "one merge a piece",
        with_(loop=encoders.one_merge),
        "after one merge there are new pairs. Go on until no pair of the piece is a merge.",
        _RANK,
    ),
    Trap(
        "nothing merged",
        with_(loop=encoders.bytes_alone),
        "these are the bytes. The pairs are looked for among the keys, and must be tuples: a "
        "list of two is not the tuple of them.",
        _RANK,
    ),
    *overlaps(with_),
    Trap(
        "only the first pair of a piece",
        with_(loop=encoders.first_place_alone),
        "a pair may stand in a piece several times, and its merge replaces all of them.",
        MERGING,
    ),
    Trap(
        "the spaces are lost",
        with_(split=encoders.by_split),
        "`split()` throws white space away, and no decoder can bring it back. `split_pieces` "
        "keeps every byte: the space stands before the word that it belongs to.",
        _WITHIN,
        (with_(split=encoders.by_spaces),),
    ),
    Trap(
        "the space behind the word",
        with_(split=encoders.space_behind),
        "the space belongs to the word behind it, not before it: the merges were learned from "
        "such pieces. Take `split_pieces`.",
        _WITHIN,
    ),
    Trap(
        "across the borders of pieces",
        with_(split=encoders.whole),
        "the text is cut into pieces first, and no merge reaches over a cut: training has "
        "never seen such pairs.",
        _WITHIN,
    ),
    Trap(
        "characters instead of bytes",
        encoders.code_points,
        "`ord` gives a character's number in Unicode, which may be 128,512, and ids below 256 "
        "are bytes. `text.encode()` gives the bytes.",
        _BYTES,
    ),
    Trap(
        "bytes by way of text",
        with_(taken=encoders.replaced),
        "bytes that are no text become replacement characters of three bytes each when they "
        "are decoded, and as Latin-1 one byte may become two. Bytes that come as bytes are taken "
        "as they are.",
        _BYTES,
        (with_(taken=encoders.dropped), with_(taken=encoders.latin)),
    ),
    Trap(
        "bytes that have to be text",
        with_(taken=encoders.strict),
        "not all bytes are text: `decode()` raises at the first that is none. Bytes that come as "
        "bytes are taken as they are, for every byte has an id.",
        _BYTES,
    ),
    Trap(
        "bytes not asked for",
        with_(taken=encoders.always_text),
        "the text may come as bytes, which cannot be encoded once more.",
        _BYTES,
    ),
    Trap(
        "the rank for the id",
        with_(numbered=encoders.the_rank),
        "merge k makes the id 256 + k: the ids below are the bytes.",
        _RANK,
    ),
    Trap(
        "ids begin at 257",
        with_(numbered=encoders.one_later),
        "the bytes have the ids 0 to 255, so the first merge makes 256.",
        _RANK,
    ),
    Trap(
        "special tokens merged like text",
        with_(cut=encoders.no_cut),
        "special tokens are cut out of the text before anything else: spelled in bytes, they "
        "tell the model nothing.",
        _RANK,
        (encoders.specials_among_pieces,),
    ),
    Trap(
        "a special token read as a pattern",
        with_(cut=encoders.as_a_pattern),
        "in a pattern `|` means *or*, so `<|end|>` finds `<`, `end` and `>`. `regex.escape` "
        "makes a pattern of a text as it stands.",
        _RANK,
    ),
    Trap(
        "special tokens in the order given",
        with_(cut=encoders.in_the_order_given),
        "where two special tokens begin at one place, the longest is meant: sort them by "
        "length before they become a pattern.",
        _RANK,
    ),
    Trap(
        "special tokens thrown away",
        with_(cut=encoders.left_out),
        "each special token is an id of its own, at the place where it stood.",
        _RANK,
    ),
    Trap(
        "the ids of special tokens",
        with_(last=encoders.before_the_merges),
        "bytes, merges, special tokens: number j of the last has 256 + len(merges) + j.",
        _RANK,
        (
            with_(last=encoders.from_zero),
            with_(last=encoders.one_more),
            with_(cut=encoders.numbered_by_length),
            encoders.specials_behind_the_bytes,
        ),
    ),
    Trap(
        "tokens instead of their ids",
        encoders.tokens_themselves,
        "a model reads numbers: the answer is the tokens' ids, and `bpe_decode` makes bytes of "
        "them.",
        _RANK,
    ),
    Trap(
        "a list for each piece",
        encoders.a_list_a_piece,
        "the answer is one list of ids: `ids += ...` or `extend` joins them, `append` makes a "
        "list of lists.",
        _WITHIN,
    ),
)
