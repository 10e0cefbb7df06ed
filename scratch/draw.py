G = "#767b84"
PALE = "#7c8796"
K = "#d2622a"
import re, sys

V = sys.argv[1]
Q = sys.argv[2]
D = "book/drawings/"


def svg(w, h, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" font-family="system-ui, sans-serif" font-size="15" text-anchor="middle" fill="{G}">\n'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.5 8 4 0 7.5z" fill="{G}"/></marker></defs>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def box(x, y, w, h, c, o, rx=3):
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{rx}" fill="{c}" fill-opacity="{o}" stroke="{c}"/>'


def text(x, y, s, size=14, anchor="middle"):
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}">{s}</text>'


# again: what is read for each new token, without a cache
words = ["Why", "is", "the", "sky", "blue?"]
new = ["The", "answer", "to"]
b = []
for s in range(3):
    y = 14 + s * 46
    row = words + new[:s]
    for i, w in enumerate(row):
        x = 12 + i * 58
        b.append(box(x, y, 54, 30, PALE, 0.12))
        b.append(text(x + 27, y + 20, w, 13))
    x = 12 + len(row) * 58
    b.append(
        f'<line x1="{x}" y1="{y + 15}" x2="{x + 18}" y2="{y + 15}" stroke="{G}" stroke-width="1.5" marker-end="url(#tip)"/>'
    )
    b.append(box(x + 22, y, 54, 30, Q, 0.35))
    b.append(text(x + 49, y + 20, new[s], 13))
open(D + "read_again.svg", "w").write(svg(508, 150, b))
# memory: length and view
b = []
for i in range(8):
    x = 20 + i * 54
    filled = i < 3
    nxt = i == 3
    c = K if filled or nxt else PALE
    b.append(box(x, 52, 50, 36, c, 0.35 if filled else 0.12 if nxt else 0.05))
    b.append(text(x + 25, 75, f'k<tspan dy="4" font-size="10">{i}</tspan>' if filled else "0", 14))
    b.append(text(x + 25, 106, str(i), 12))
b.append(f'<path d="M20 42V34H178V42" fill="none" stroke="{G}" stroke-width="1.5"/>')
b.append(text(99, 26, "the view that attention gets", 13))
b.append(
    f'<line x1="207" y1="138" x2="207" y2="114" stroke="{G}" stroke-width="1.5" marker-end="url(#tip)"/>'
)
b.append(text(207, 154, "length = 3", 13))
b.append(text(452, 106, "place", 12, "end") if False else "")
open(D + "filled_part.svg", "w").write(svg(470, 164, [x for x in b if x]))
# chunks: 8 tokens in chunks of 3
b = []
s = 26
for q in range(8):
    for k in range(8):
        if k > q:
            continue
        c = "#6d3fe0"
        b.append(
            box(96 + k * s, 30 + q * s, s - 3, s - 3, c, 0.45 if k // 3 == q // 3 else 0.15, 2)
        )
for n, (a, e) in enumerate(((0, 3), (3, 6), (6, 8))):
    y = 30 + a * s
    y2 = 30 + e * s - 3
    b.append(f'<path d="M90 {y}H84V{y2}H90" fill="none" stroke="{G}" stroke-width="1.5"/>')
    b.append(text(78, (y + y2) / 2 + 5, f"chunk {n + 1}", 13, "end"))
b.append(text(96 + 4 * s, 18, "keys 0 to 7", 13))
b.append(text(320, 30 + 4 * s, "pale: keys from the cache", 13, "start"))
b.append(text(320, 30 + 4 * s + 20, "full: keys of the chunk", 13, "start"))
open(D + "chunks.svg", "w").write(svg(500, 246, b))
# one token's block
b = []
for l in range(4):
    y = 16 + l * 34 + (18 if l == 3 else 0)
    b.append(text(92, y + 18, ("layer 1", "layer 2", "layer 3", "layer 30")[l], 13, "end"))
    for h in range(3):
        b.append(box(104 + h * 62, y, 56, 25, K, 0.3))
        b.append(text(104 + h * 62 + 28, y + 18, f"key {h + 1}", 12))
        b.append(box(304 + h * 66, y, 60, 25, V, 0.3))
        b.append(text(304 + h * 66 + 30, y + 18, f"value {h + 1}", 12))
b.append(text(192, 131, "⋮", 16))
b.append(text(400, 131, "⋮", 16))
b.append(text(300, 178, "each box: 64 numbers", 13))
open(D + "left_by_one.svg", "w").write(svg(512, 188, b))
