"""Lattigo, through the shared library in the wheel of orion-fhe, without Orion itself and what that needs."""

import ctypes
import importlib.util
from importlib.metadata import version
from pathlib import Path

from driver import Absent, Opened, product_and_rotation_error, values


class Floats(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_float)), ("length", ctypes.c_ulong)]


def library():
    root = importlib.util.find_spec("orion").submodule_search_locations[0]
    found = sorted(Path(root).glob("backend/lattigo/lattigo-*.so"))
    if not found:
        raise Absent("the wheel holds no Lattigo library for this system")
    loaded = ctypes.CDLL(str(found[0]))
    loaded.Decode.restype = Floats
    loaded.FreeCArray.argtypes = [ctypes.c_void_p]
    return loaded


def open_set(spec):
    go = library()
    degree, data, special = spec["degree"], spec["data"], spec["special"]
    dense = degree * 2 // 3
    go.NewScheme(
        degree.bit_length() - 1,
        (ctypes.c_int * len(data))(*data),
        len(data),
        (ctypes.c_int * len(special))(*special),
        len(special),
        spec["log_scale"],
        dense,
        b"standard",
        b"",
        b"none",
    )
    for step in (
        "NewKeyGenerator GenerateSecretKey GeneratePublicKey GenerateRelinearizationKey GenerateEvaluationKeys "
        "NewEncoder NewEncryptor NewDecryptor NewEvaluator"
    ).split():
        getattr(go, step)()
    slots, level = degree // 2, len(data) - 1
    vector = (ctypes.c_float * slots)(*values(slots))
    scale = ctypes.c_ulong(1 << spec["log_scale"])

    class Handle:
        """An object on the other side, deleted with this one."""

        def __init__(self, number, delete):
            self.number, self.delete = number, delete

        def __del__(self):
            self.delete(self.number)

    def plaintext(number):
        return Handle(number, go.DeletePlaintext)

    def ciphertext(number):
        return Handle(number, go.DeleteCiphertext)

    class Numbers:
        """What Decode returned, freed with this object."""

        def __init__(self, floats):
            self.floats = floats

        def __del__(self):
            go.FreeCArray(ctypes.cast(self.floats.data, ctypes.c_void_p))

    def encode():
        return plaintext(go.Encode(vector, slots, level, scale))

    def encrypt():
        return ciphertext(go.Encrypt(plain.number))

    def decrypt(what):
        return plaintext(go.Decrypt(what.number))

    def whole():
        made = ciphertext(go.MulRelinCiphertextNew(a.number, b.number))
        go.Rescale(made.number)
        return made

    def rotate():
        return ciphertext(go.RotateNew(a.number, 1))

    plain = encode()
    a, b = encrypt(), encrypt()
    ops = {
        "encode": encode,
        "decode": lambda: Numbers(go.Decode(plain.number)),
        "encrypt_pk": encrypt,
        "decrypt": lambda: decrypt(a),
        "add": lambda: ciphertext(go.AddCiphertextNew(a.number, b.number)),
        "mul_plain": lambda: ciphertext(go.MulPlaintextNew(a.number, plain.number)),
        "mul_relin_rescale": whole,
        "rotate": rotate,
    }

    def decode(what):
        plain = decrypt(what)
        held = Numbers(go.Decode(plain.number))
        return held.floats.data[:slots]

    error = product_and_rotation_error(decode(whole()), decode(rotate()), slots)
    note = (
        f"through orion-fhe's 32-bit numbers; secret with {dense} nonzero coefficients; mul_relin_rescale enters the "
        "library twice, of which one entry is subtracted"
    )
    name = f"Lattigo v6 (orion-fhe {version('orion-fhe')})"
    return Opened(name, data + special, ops, lambda: go.GetPlaintextSlots(plain.number), error, note)
