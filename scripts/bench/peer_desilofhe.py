"""DESILO FHE, which chooses its own primes from the number of levels."""

from importlib.metadata import version

import numpy
from desilofhe import Engine
from driver import Absent, Opened, product_and_rotation_error, values


def open_set(spec):
    levels = len(spec["data"]) - 1
    for top in range(levels, levels + 3):
        engine = Engine(max_level=top, mode="cpu", thread_count=1)
        slots = engine.slot_count
        if slots * 2 >= spec["degree"]:
            break
    if slots * 2 != spec["degree"]:
        raise Absent(f"it answers {levels} levels with N={slots * 2}")
    secret = engine.create_secret_key()
    public = engine.create_public_key(secret)
    relin = engine.create_relinearization_key(secret)
    rotations = [engine.create_fixed_rotation_key(secret, step) for step in range(1, 17)]
    vector = numpy.array(values(slots))
    plain = engine.encode(vector, levels)
    ciphertext, other = engine.encrypt(plain, public), engine.encrypt(plain, public)
    symmetric = engine.encrypt(plain, secret)
    product = engine.multiply(symmetric, other)

    def whole():
        return engine.multiply(ciphertext, other, relin)

    def rotate():
        return engine.rotate(ciphertext, rotations[0])

    ops = {
        "encode": lambda: engine.encode(vector, levels),
        "decode": lambda: engine.decode(plain),
        "encrypt_sym": lambda: engine.encrypt(plain, secret),
        "encrypt_pk": lambda: engine.encrypt(plain, public),
        "decrypt": lambda: engine.decrypt_to_plaintext(ciphertext, secret),
        "add": lambda: engine.add(ciphertext, other),
        "relinearize": lambda: engine.relinearize(product, relin),
        "mul_relin_rescale": whole,
        "rotate": rotate,
        "rotate_hoisted": lambda: engine.rotate_many(ciphertext, rotations),
    }
    error = product_and_rotation_error(
        numpy.real(engine.decrypt(whole(), secret)), numpy.real(engine.decrypt(rotate(), secret)), slots
    )
    note = (
        f"its own primes, not this chain, at level {levels} of an engine for {top}, with higher precision; "
        "products rescale by themselves"
    )
    return Opened(f"DESILO FHE {version('desilofhe')}", [], ops, lambda: engine.slot_count, error, note)
