"""Loads, evaluates and decrypts what the library wrote, with SEAL itself, and writes streams back.

Usage: interop.py {seal|tenseal} FOLDER. Reads FOLDER/in-*.bin and values.json, writes FOLDER/out-*.bin and prints one
JSON object with the largest error of each decryption. Any object SEAL refuses ends the program.
"""

import json
import pathlib
import sys

BACKEND, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
if BACKEND == "seal":
    import seal as S

    SCHEME, SECURITY = S.scheme_type.ckks, S.sec_level_type.tc128
else:
    import tenseal.sealapi as S

    SCHEME, SECURITY = S.SCHEME_TYPE.CKKS, S.SEC_LEVEL_TYPE.TC128


def load(kind, name, *context):
    thing = kind(SCHEME) if kind is S.EncryptionParameters else kind()
    thing.load(*context, str(FOLDER / name))
    return thing


def save(thing, name):
    thing.save(str(FOLDER / name))


parameters = load(S.EncryptionParameters, "in-parameters.bin")
context = S.SEALContext(parameters, True, SECURITY)
secret = load(S.SecretKey, "in-secret.bin", context)
public = load(S.PublicKey, "in-public.bin", context)
encoder, evaluator = S.CKKSEncoder(context), S.Evaluator(context)
decryptor, generator = S.Decryptor(context, secret), S.KeyGenerator(context, secret)
encryptor = S.Encryptor(context, public, secret)
known = json.loads((FOLDER / "values.json").read_text())
a, b, scale = known["a"], known["b"], known["scale"]
errors = {}


def encode(values, at):
    if BACKEND == "seal":
        import numpy

        return encoder.encode(numpy.array(values), at)
    plain = S.Plaintext()
    encoder.encode(values, at, plain)
    return plain


def decrypt(ciphertext):
    plain = S.Plaintext()
    decryptor.decrypt(ciphertext, plain)
    return list(encoder.decode(plain) if BACKEND == "seal" else encoder.decode_double(plain))


def check(name, ciphertext, expected):
    actual = decrypt(ciphertext)
    assert len(actual) == len(expected), (name, len(actual), len(expected))
    errors[name] = max(abs(x - y) for x, y in zip(actual, expected))


def ours(name):
    return load(S.Ciphertext, f"in-{name}.bin", context)


for name, values in (("a", a), ("b-blake2xb", b), ("b-shake256", b), ("a-public", a)):
    check(name, ours(name), values)

total = ours("a")
evaluator.add_inplace(total, ours("b-blake2xb"))
check("add", total, [x + y for x, y in zip(a, b)])
save(total, "out-add.bin")

product = ours("a")
evaluator.multiply_plain_inplace(product, encode(b, scale))
evaluator.rescale_to_next_inplace(product)
check("multiply_plain", product, [x * y for x, y in zip(a, b)])
save(product, "out-product.bin")

square = ours("b-shake256")
evaluator.square_inplace(square)
check("square", square, [x * x for x in b])
save(square, "out-square.bin")

relin, galois = S.RelinKeys(), S.GaloisKeys()
generator.create_relin_keys(relin)
generator.create_galois_keys(galois)
evaluator.relinearize_inplace(square, relin)
evaluator.rescale_to_next_inplace(square)
check("relinearize", square, [x * x for x in b])
save(square, "out-relinearized.bin")
rotated = ours("a")
evaluator.rotate_vector_inplace(rotated, 1, galois)
check("rotate", rotated, a[1:] + a[:1])
save(rotated, "out-rotate.bin")

fresh = S.Ciphertext()
encryptor.encrypt_symmetric(encode(a, scale), fresh)
save(fresh, "out-fresh.bin")
with_public = S.Ciphertext()
encryptor.encrypt(encode(a, scale), with_public)
save(with_public, "out-public-encrypted.bin")
if BACKEND == "tenseal":
    # A serializable ciphertext keeps the seed instead of the second polynomial.
    save(encryptor.encrypt_symmetric(encode(b, scale)), "out-seeded.bin")
save(parameters, "out-parameters.bin")
save(secret, "out-secret.bin")
save(public, "out-public.bin")
save(encode(b, scale), "out-plaintext.bin")
print(json.dumps(errors))
