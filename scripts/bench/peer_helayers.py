"""HElayers lite, whose SEAL back end takes depth and precision instead of primes."""

from importlib.metadata import version

import pyhelayerslite as helayers
from driver import Absent, Opened, product_and_rotation_error, values


def open_set(spec):
    data, special = spec["data"], spec["special"]
    first, middle = data[0], data[1:]
    if len(special) != 1 or special[0] != first or len(set(middle)) != 1 or first <= middle[0]:
        raise Absent("its chains are [a, b, .., b, a] with a > b")
    need = helayers.HeConfigRequirement(spec["degree"] // 2, len(middle), middle[0], first - middle[0])
    need.security_level = 128
    context = helayers.SealCkksContext()
    context.init(need)
    slots = context.slot_count()
    if slots * 2 != spec["degree"]:
        raise Absent(f"it answers this chain with N={slots * 2}")
    encoder = helayers.Encoder(context)
    vector = values(slots)
    plain = encoder.encode(vector)
    ciphertext, other = encoder.encode_encrypt(vector), encoder.encode_encrypt(vector)
    product = helayers.CTile(ciphertext)
    product.multiply_raw(other)
    short = helayers.CTile(product)
    short.relinearize()

    def copied(source, change):
        made = helayers.CTile(source)
        change(made)
        return made

    def whole():
        return copied(ciphertext, lambda made: made.multiply(other))

    def rotate():
        return copied(ciphertext, lambda made: made.rotate(1))

    ops = {
        "add": lambda: copied(ciphertext, lambda made: made.add(other)),
        "mul_plain": lambda: copied(ciphertext, lambda made: made.multiply_plain_raw(plain)),
        "mul": lambda: copied(ciphertext, lambda made: made.multiply_raw(other)),
        "relinearize": lambda: copied(product, lambda made: made.relinearize()),
        "rescale": lambda: copied(short, lambda made: made.rescale()),
        "mul_relin_rescale": whole,
        "rotate": rotate,
    }
    error = product_and_rotation_error(
        encoder.decrypt_decode_double(whole()), encoder.decrypt_decode_double(rotate()), slots
    )
    note = (
        "works in place: a copy of the ciphertext is part of each time; "
        "encryption is one with encoding, which converts Python lists: not timed"
    )
    library = f"HElayers lite {version('pyhelayerslite')} (SEAL inside)"
    return Opened(library, data + special, ops, lambda: context.slot_count(), error, note, (context, encoder))
