"""What exercises may not call: part of an operation's name -> what the report says."""

BY_HAND = "it calls torch's own attention; this exercise is to write it"

LIBRARY_ATTENTION = {
    "scaled_dot_product": BY_HAND,
    "_safe_softmax": BY_HAND,  # what torch's own attention becomes where it has no kernel
    "multi_head_attention": BY_HAND,
    "multiheadattention": BY_HAND,  # the layer, where it is written in Python
    "flex_attention": BY_HAND,
}

LIBRARY_NORMS = {
    f"{kind}_norm": "it calls torch's own norm; this exercise is to write it"
    for kind in ("layer", "group", "batch", "instance", "rms")
}
