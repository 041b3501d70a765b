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

# With keys from outside, in full and seeded: each operation there is a key for.
for form in ("full", "seeded"):
    their_relin = load(S.RelinKeys, f"in-relin-{form}.bin", context)
    their_galois = load(S.GaloisKeys, f"in-galois-{form}.bin", context)
    multiplied = ours("a")
    evaluator.multiply_inplace(multiplied, ours("b-blake2xb"))
    evaluator.relinearize_inplace(multiplied, their_relin)
    evaluator.rescale_to_next_inplace(multiplied)
    check(f"multiply, {form} key", multiplied, [x * y for x, y in zip(a, b)])
    save(multiplied, f"out-multiplied-{form}.bin")
    for step in (1, -3):
        turned = ours("a")
        evaluator.rotate_vector_inplace(turned, step, their_galois)
        check(f"rotate by {step}, {form} key", turned, a[step:] + a[:step])
        save(turned, f"out-rotated{step}-{form}.bin")
    # Of a product, one level down.
    evaluator.rotate_vector_inplace(multiplied, 1, their_galois)
    expected = [x * y for x, y in zip(a, b)]
    check(f"rotate a product, {form} key", multiplied, expected[1:] + expected[:1])
    mirrored = ours("a")
    evaluator.complex_conjugate_inplace(mirrored, their_galois)
    check(f"conjugate, {form} key", mirrored, a)

# TenSEAL writes keys seeded and compressed, and takes elements: 3 rotates by one. seal-python takes steps.
if BACKEND == "tenseal":
    save(generator.create_relin_keys(), "out-relin.bin")
    save(generator.create_galois_keys([3]), "out-galois.bin")
else:
    one = S.GaloisKeys()
    generator.create_galois_keys([1], one)
    save(relin, "out-relin.bin")
    save(one, "out-galois.bin")

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
