"""The SEAL inside TenSEAL, through its `sealapi`."""

from importlib.metadata import version

import tenseal.sealapi as seal
from driver import Opened, product_and_rotation_error, values


def open_set(spec):
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    degree, scale = spec["degree"], 2.0 ** spec["log_scale"]
    bits = spec["data"] + spec["special"]
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(degree, bits))
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
    keys = seal.KeyGenerator(context)
    secret, public, relin, galois = keys.secret_key(), seal.PublicKey(), seal.RelinKeys(), seal.GaloisKeys()
    keys.create_public_key(public)
    keys.create_relin_keys(relin)
    # Galois elements here, not steps: 3 is the rotation by one.
    keys.create_galois_keys([3], galois)
    encoder, evaluator = seal.CKKSEncoder(context), seal.Evaluator(context)
    encryptor, decryptor = seal.Encryptor(context, public, secret), seal.Decryptor(context, secret)
    slots = encoder.slot_count()

    def into(kind, run, *arguments):
        made = kind()
        run(*arguments, made)
        return made

    plain = into(seal.Plaintext, encoder.encode, values(slots), scale)
    ciphertext = into(seal.Ciphertext, encryptor.encrypt_symmetric, plain)
    other = into(seal.Ciphertext, encryptor.encrypt, plain)
    product = into(seal.Ciphertext, evaluator.multiply, ciphertext, other)
    short = into(seal.Ciphertext, evaluator.relinearize, product, relin)

    def whole():
        made = into(seal.Ciphertext, evaluator.multiply, ciphertext, other)
        evaluator.relinearize_inplace(made, relin)
        evaluator.rescale_to_next_inplace(made)
        return made

    def rotate():
        return into(seal.Ciphertext, evaluator.rotate_vector, ciphertext, 1, galois)

    def decrypt(what):
        return into(seal.Plaintext, decryptor.decrypt, what)

    ops = {
        "encrypt_sym": lambda: into(seal.Ciphertext, encryptor.encrypt_symmetric, plain),
        "encrypt_pk": lambda: into(seal.Ciphertext, encryptor.encrypt, plain),
        "decrypt": lambda: decrypt(ciphertext),
        "add": lambda: into(seal.Ciphertext, evaluator.add, ciphertext, other),
        "mul_plain": lambda: into(seal.Ciphertext, evaluator.multiply_plain, ciphertext, plain),
        "mul": lambda: into(seal.Ciphertext, evaluator.multiply, ciphertext, other),
        "relinearize": lambda: into(seal.Ciphertext, evaluator.relinearize, product, relin),
        "rescale": lambda: into(seal.Ciphertext, evaluator.rescale_to_next, short),
        "mul_relin_rescale": whole,
        "rotate": rotate,
    }
    error = product_and_rotation_error(
        encoder.decode_double(decrypt(whole())), encoder.decode_double(decrypt(rotate())), slots
    )
    note = "encode and decode not timed: the binding converts Python lists, which would dominate"
    library = f"SEAL inside TenSEAL {version('tenseal')}"
    return Opened(library, bits, ops, lambda: encoder.slot_count(), error, note, (context, keys))
