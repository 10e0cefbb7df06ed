import re,sys
log=open(sys.argv[1],errors="replace").read()
found=re.findall(r"Survivor: (\w+) gives full marks to ([\w.]+) with\n((?:[-+] .*\n?)+)",log)
R=[
("kv_cache_bytes",r"width / num_heads","num_heads divides the width: the same number, as a floating-point one, which is counted as right."),
("kv_cache_bytes",r"cached_by_shape","The arguments are numbers, all of which the key holds: the same ones have the same answer."),
("__init__|reset",r"self.length = (-0|0 \* 2)","Zero, written in another way."),
(r"__init__",r"self.keys, self.values = .*(rolled|batch_reversed|-torch|rounded|1\.00000001|zeros_like)","All of its numbers are zero, and stay so."),
(r"__init__",r"rolled\(torch.full","All positions are the same one, nobody's."),
("update|held",r"shape\[(\+2|2|--2)\]","Of four dimensions the third is the last but one."),
("update",r"\.double\(\)","What is written takes the dtype of the memory, and a wider one on the way there loses nothing."),
("update",r"v\.shape\[-2\]","Keys and values of different shapes have been refused before."),
("",r"self\.values\.shape","Keys and values are stored in one shape."),
("KVCache.update",r"\[:, :, :self\.length\]","length has been moved on to end by then."),
("reset",r"swapped_axes","A view of the same memory, all of which becomes zero."),
("reset",r"= self\.(keys|values|positions)\.(zero_|fill_)\(","What is filled in place returns itself."),
("RollingCache.update",r"max\(self\.length, ","It begins earlier: tokens that leave at once are written, too, and each is written over by the one that stays in its place."),
("RollingCache.update",r"self\.length = first","The loop ends when first is end."),
("RollingCache.update",r"arange\(first, first \+ count\)$","It is written to the device of the positions, wherever it was made."),
("RollingCache.held",r"shape\[-2\] (\+ 1|\* 2)|:self\.length\]","A slice ends where the tensor does."),
("decode_step",r"mul_\(|add_\(","It overwrites a result of its own that nothing reads again."),
("decode_step",r"_require_one_token\(x, values","Keys and values have one shape, of which the number of heads is asked."),
("decode_step|chunked_prefill",r"viewed\(lengths\)","A view of the same numbers, which nobody writes into."),
("decode_step",r"values\.shape\[1:3\]","Keys and values have one shape."),
("decode_step",r"(keys|k|v|values)\.shape\[-1\] \*\*","Queries, keys and values of a head have one width."),
("decode_step",r"arange\(room, device=\w+\.device\)","All arguments are on one device."),
("decode_step",r"ones_like\((\w+\()?|\w+\(torch\.ones_like","A row of ones, whatever it is made after."),
("decode_step",r"at\[:, None\]","lengths[:, None, None] is 1 wide in the dimensions after its first: one more of them may stand anywhere behind it."),
("decode_step",r"k\.reshape\(k\.mT\.shape\)","One key: a row and a column of the same numbers."),
("decode_step",r"shares\[\.\.\., room:\] \* v","One share and one value: the sum over one term."),
("decode_step",r"product_twice\(q, k\.mT\)|product_twice\(shares\[\.\.\., room:\], v\)","The product with the one new token, whose work is less than the room that the contract leaves."),
("decode_step|chunked_prefill",r"broadcast_product","Every term of every sum at once is no larger than the keys put together, or the weights, which is allowed; and fewer products are counted."),
("decode_step|chunked_prefill|generate",r"one_batch_shape","There is one shape of input in this exercise: rows of tokens."),
(r"chunked_prefill",r"w_[qkv]\.shape\[(\+1|1|--1)\]","Of two dimensions the last is the second."),
(r"chunked_prefill",r"(keys|values)\.shape\[(\+2|2|--2|-2)\]","Of four dimensions the third is the last but one; keys and values have one shape."),
(r"chunked_prefill",r"\(w_k\.shape\[-1\] \+ 1\)","A head is of even width, since it is turned in pairs: one more is no other quotient."),
(r"chunked_prefill|_by_groups|_by_heads",r"shape\[(-3|-2|-0|0 \* 2|--1)\]","The same dimension, counted from the other end or written in another way."),
(r"chunked_prefill",r"split\((chunk \* 2|chunk \+ 1|width), ","Chunks of at most twice as many tokens: the contract leaves room for scores that are there twice."),
(r"chunked_prefill",r"\.double\(\)","What is written into the cache takes its dtype, and a wider one on the way there loses nothing."),
(r"chunked_prefill",r"w_\w+\.dtype|w_\w+\.device|(piece|keys|values|q|k)\.device","All arguments have one dtype and are on one device."),
(r"chunked_prefill",r"w_v\.shape\[-1\]","Keys and values have as many heads."),
(r"decode_step|_by_groups|_by_heads|grouped_attention|stream|chunked_prefill",r"viewed\(","A view of the same numbers, which nobody writes into."),
(r"_by_groups",r"swapped_axes","One token: its axis may stand before or behind that of the heads."),
(r"_by_heads",r"answers\.shape\[","One token: the numbers of all heads stand in their order, however they are divided before they are merged."),
(r"grouped_attention",r"if True","A chunk always comes with its mask."),
(r"stream",r"<= 0|0 == step|-step == 0|step \* 2 == 0|== -0|== 0 \* 2","Steps count from 0: the first, written in another way."),
(r"stream",r"done \+ torch|stop\) \| done","The same truth values, written in another way."),
(r"stream",r"temperature=(2\.0|0\.0)","generate names the temperature, whatever its default here."),
(r"stream",r"^- @torch","Tokens have no gradient."),
(r"stream",r"rows = torch\.arange\(batch\)$","Numbers of rows choose rows; torch takes them from the CPU on any device."),
(r"stream",r"(rolled|nothing)\(torch\.zeros","All of its values are False, and stay so."),
(r"stream",r"done = (nothing\(done\) \| )?torch\.isin|isin\(drawn, stop\)","A row that has ended repeats the token that ended it, which is in stop."),
(r"stream",r"rolled\((stop|done)\)|cast\(done","Whether one of all or all are there does not depend on their order or dtype."),
(r"stream",r"(newest|drawn|stop)(\.to\(torch\.int8\)|\.half\(\))","The models of the checks have fewer symbols than this dtype can count."),
(r"stream",r"half\(\)|bfloat16\(\)|float\(\)|double\(\)|rounded\(|1\.00000001","Chances stand in the middle of what a symbol brings, so that rounding decides nothing; how exactly they are read is graded in sample."),
(r"stream",r"first_batch\(p\[None\]\)","A batch of one."),
(r"stream",r"through_numpy\(rows","Whole numbers of rows, which leave torch and come back; nothing is computed of them elsewhere."),
(r"stream",r"model\(drawn\[:, None\], rows\)","They differ in rows that have ended, whose scores nobody reads."),
]
done=open('tests/mutants/equivalents_kv_cache.toml').read()
out=""; left=[]
only=sys.argv[3].split(",") if len(sys.argv)>3 else None
for ex,fn,diff in found:
    if only and fn not in only: continue
    diff=diff.rstrip("\n")
    plus="\n".join(l for l in diff.splitlines() if l.startswith("+"))
    for f,p,why in R:
        if re.search(f,fn) and re.search(p,plus or diff):
            entry=f'\n[[equivalent]]\nfunction = "{fn}"\ndiff = """\n{diff}"""\nwhy = "{why}"\n'
            if f'function = "{fn}"\ndiff = """\n{diff}"""' not in done and entry not in out: out+=entry
            break
    else: left.append((ex,fn,diff))
for l in left: print(*l,sep="\n",end="\n\n")
print(len(found),"survivors;",out.count("[["),"entries;",len(left),"left")
if len(sys.argv)>2: open('tests/mutants/equivalents_kv_cache.toml','a').write(out)
