"""Writes hei1.json: known answers for spec/wire.md, sections 2 to 4, evaluation keys included.

Standard library only, and written from the specification alone: it shares no code with the library it is to check.
Run from anywhere: python3 spec/vectors/make_hei1.py
"""

import hashlib
import json
import pathlib
import struct

MASK32 = 0xFFFFFFFF


def chacha20_block(key, counter, nonce):
    """RFC 8439, section 2.3."""
    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    start += [counter] + list(struct.unpack("<3I", nonce))
    x = start[:]

    def quarter(a, b, c, d):
        for left, right, into, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[left] = (x[left] + x[right]) & MASK32
            value = x[into] ^ x[left]
            x[into] = ((value << bits) | (value >> (32 - bits))) & MASK32

    for _ in range(10):
        quarter(0, 4, 8, 12)
        quarter(1, 5, 9, 13)
        quarter(2, 6, 10, 14)
        quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15)
        quarter(1, 6, 11, 12)
        quarter(2, 7, 8, 13)
        quarter(3, 4, 9, 14)
    return struct.pack("<16I", *((a + b) & MASK32 for a, b in zip(x, start)))


RFC_KEY = bytes(range(32))
RFC_BLOCK = chacha20_block(RFC_KEY, 1, bytes.fromhex("000000090000004a00000000"))
assert RFC_BLOCK.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4"), "RFC 8439, section 2.3.2"


def expand(seed, limb, q, n, part=1):
    """Section 4."""
    nonce = b"hei1" + struct.pack("<II", part, limb)
    mask = (1 << q.bit_length()) - 1
    residues, counter = [], 0
    while True:
        block = chacha20_block(seed, counter, nonce)
        counter += 1
        for (word,) in struct.iter_unpack("<Q", block):
            word &= mask
            if word < q:
                residues.append(word)
                if len(residues) == n:
                    return residues


def params_id(n, data, special):
    """Section 3: preimage and identity."""
    preimage = b"hei/1 params\0" + struct.pack("<Q", n)
    for primes in (data, special):
        preimage += struct.pack("<Q", len(primes)) + b"".join(struct.pack("<Q", q) for q in primes)
    preimage += bytes([1, 1]) + struct.pack("<I", 21)
    return preimage, hashlib.sha256(preimage).digest()


def pack(values, width):
    """Section 2.4."""
    bits = 0
    for i, value in enumerate(values):
        bits |= value << (i * width)
    return bits.to_bytes((len(values) * width + 7) // 8, "little")


def container(kind, form, n, widths, parts, scale, pid, body, k=0, items=1, ranges=(), seeds=(), keys=(), seeded=False):
    """Section 2; the seeds of evaluation keys are in the body, and only said to be there."""
    out = bytes.fromhex("e7686569") + bytes([1, kind, form, 32 if seeds or seeded else 0])
    out += struct.pack("<IHBBHHI", n, len(widths), parts, k, items, len(ranges), 0)
    out += pid + struct.pack("<dQ", scale, len(body)) + bytes(widths)
    out += b"".join(struct.pack("<III", *r) for r in ranges)
    out += b"".join(struct.pack("<BBHI", purpose, 0, limbs, element) for purpose, limbs, element in keys)
    out += b"".join(seeds)
    return out + body


def is_prime(n):
    if n < 2 or any(n % p == 0 for p in (2, 3, 5, 7, 11, 13)):
        return n in (2, 3, 5, 7, 11, 13)
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for a in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        x = pow(a, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def largest_prime(bits, n):
    q = (2**bits - 1) // (2 * n) * (2 * n) + 1
    while q >= 2**bits or not is_prime(q):
        q -= 2 * n
    return q


def largest_primes(bits, n, count):
    found, q = [], largest_prime(bits, n)
    while len(found) < count:
        if is_prime(q):
            found.append(q)
        q -= 2 * n
    return found


def chain(bits, n):
    """SEAL's choice: of each size the largest, the first place of a size getting the smallest of them."""
    pools = {b: sorted(largest_primes(b, n, bits.count(b))) for b in set(bits)}
    return [pools[b].pop(0) for b in bits]


def residue(item, part, limb, i, q):
    """An arbitrary polynomial that a reader can write down too."""
    return (i * 0x9E3779B97F4A7C15 + item * 1000003 + part * 7919 + limb * 104729 + 1) % q


def limbs(item, part, moduli, n):
    return b"".join(
        pack([residue(item, part, j, i, q) for i in range(n)], (q - 1).bit_length()) for j, q in enumerate(moduli)
    )


SETS = {
    "n16384": (16384, [1152921504606683137, 1073479681, 1073643521], [1152921504606748673]),
    "n1024": (1024, [1099511590913, 1073698817, 1073707009], [1099511592961]),
    "n1024_one_prime": (1024, [largest_prime(26, 1024)], []),
    "n2048_one_prime": (2048, [largest_prime(53, 2048)], []),
    "n1024_two_special": (1024, chain([40, 30, 30, 30, 40, 40], 1024)[:4], chain([40, 30, 30, 30, 40, 40], 1024)[4:]),
}
SEED = bytes(range(32))


def digest(octets):
    return {"octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest(), "start": octets[:160].hex()}


def main():
    ids, expansions, containers = {}, [], []
    for name, (n, data, special) in SETS.items():
        preimage, pid = params_id(n, data, special)
        ids[name] = {
            "degree": n,
            "data": [str(q) for q in data],
            "special": [str(q) for q in special],
            "preimage": preimage.hex(),
            "params_id": pid.hex(),
        }
        for seed in (SEED, bytes(32)):
            rows = []
            for limb, q in enumerate(data + special):
                words = expand(seed, limb, q, n)
                rows.append({
                    "prime": str(q),
                    "first": [str(w) for w in words[:4]],
                    "last": str(words[-1]),
                    "sha256_of_u64_words": hashlib.sha256(struct.pack(f"<{n}Q", *words)).hexdigest(),
                })
            expansions.append({"parameters": name, "seed": seed.hex(), "part": 1, "limbs": rows})

    packing = []
    for width, values in ((3, [5, 3, 6]), (26, [1, 2**26 - 1, 0, 12345678]), (53, [2**53 - 2, 7, 2**52]), (63, [2**63 - 1, 1])):
        packing.append({"width": width, "values": [str(v) for v in values], "octets": pack(values, width).hex()})

    def add(name, parameters, fields, octets):
        containers.append({"name": name, "parameters": parameters, **fields, **digest(octets)})

    n, data, special = SETS["n1024"]
    pid = params_id(n, data, special)[1]
    widths = [q.bit_length() for q in data]
    scale = 2.0**30
    body = limbs(0, 0, data, n) + limbs(0, 1, data, n)
    add("ciphertext, full", "n1024", {"level": 2, "scale": scale}, container(1, 1, n, widths, 2, scale, pid, body))
    body = limbs(0, 0, data[:2], n) + limbs(0, 1, data[:2], n) + limbs(0, 2, data[:2], n)
    add("ciphertext, three polynomials", "n1024", {"level": 1, "scale": scale * scale},
        container(1, 1, n, widths[:2], 3, scale * scale, pid, body))
    add("ciphertext, seeded", "n1024", {"level": 2, "scale": scale, "seed": SEED.hex()},
        container(1, 1, n, widths, 2, scale, pid, limbs(0, 0, data, n), seeds=[SEED]))
    body = b"".join(limbs(item, part, data[:1], n) for item in range(3) for part in range(2))
    add("ciphertext-list, full", "n1024", {"level": 0, "scale": scale, "items": 3},
        container(2, 1, n, widths[:1], 2, scale, pid, body, items=3))
    moduli = data + special
    body = limbs(0, 0, moduli, n) + limbs(0, 1, moduli, n)
    add("public-key, full", "n1024", {}, container(4, 1, n, [q.bit_length() for q in moduli], 2, 1.0, pid, body))
    secret = pack([(i * i + i // 3) % 3 for i in range(n)], 2)
    add("secret-key", "n1024", {"coefficients": "(i*i + floor(i/3)) mod 3, with 2 for -1"},
        container(5, 0, n, [2], 1, 1.0, pid, secret))

    # Digits are the items of the note, counted through all keys; two special primes make ceil(m / 2) of them.
    n, data, special = SETS["n1024_two_special"]
    pid = params_id(n, data, special)[1]
    widths = [q.bit_length() for q in data + special]
    keys = [(1, 4, 0), (2, 3, 3), (2, 1, 2 * n - 1)]
    for seeded in (True, False):
        body, item = b"", 0
        for _, m, _ in keys:
            for _ in range((m + len(special) - 1) // len(special)):
                body += limbs(item, 0, data[:m] + special, n)
                body += bytes([item]) * 32 if seeded else limbs(item, 1, data[:m] + special, n)
                item += 1
        add(f"evaluation-key, {'seeded' if seeded else 'full'}", "n1024_two_special",
            {"keys": [list(key) for key in keys], "seeds": "32 times the number of the digit"},
            container(3, 1, n, widths, 2, 1.0, pid, body, items=len(keys), keys=keys, seeded=seeded))

    n, data, special = SETS["n2048_one_prime"]
    pid = params_id(n, data, special)[1]
    q, scale = data[0], 2.0**24
    request = pack([residue(0, 0, 0, i, q) for i in range(8)], 53)
    add("coefficients, request", "n2048_one_prime", {"ranges": [[0, 8, 1]], "scale": scale, "seed": SEED.hex()},
        container(1, 0, n, [53], 2, scale, pid, request, ranges=[(0, 8, 1)], seeds=[SEED]))
    k = 34
    reply = pack([residue(0, 0, 0, i, 2**k) for i in range(2)], k) + pack([residue(0, 1, 0, i, 2**k) for i in range(n)], k)
    add("coefficients, reply", "n2048_one_prime", {"ranges": [[7, 2, 8]], "scale": scale, "reply_modulus_bits": k},
        container(1, 0, n, [k], 2, scale, pid, reply, k=k, ranges=[(7, 2, 8)]))

    document = {
        "note": "Known answers for spec/wire.md, made by make_hei1.py. Residue i of limb j of polynomial p of item t is "
        "(i * 0x9E3779B97F4A7C15 + t * 1000003 + p * 7919 + j * 104729 + 1) mod q; with ranges, i counts the present "
        "coefficients. 'start' is the first 160 octets.",
        "params_id": ids,
        "expansion": expansions,
        "packing": packing,
        "containers": containers,
    }
    path = pathlib.Path(__file__).with_name("hei1.json")
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{path.name}: {len(expansions)} expansions, {len(containers)} containers")


if __name__ == "__main__":
    main()
