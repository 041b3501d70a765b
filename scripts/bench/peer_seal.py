"""Microsoft SEAL through seal-python."""

from importlib.metadata import version

import numpy
import seal
from driver import Opened, product_and_rotation_error, values


def open_set(spec):
    parameters = seal.EncryptionParameters(seal.scheme_type.ckks)
    degree, scale = spec["degree"], 2.0 ** spec["log_scale"]
    bits = spec["data"] + spec["special"]
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(degree, bits))
    context = seal.SEALContext(parameters, True, seal.sec_level_type.tc128)
    keys = seal.KeyGenerator(context)
    secret, public, relin, galois = keys.secret_key(), seal.PublicKey(), seal.RelinKeys(), seal.GaloisKeys()
    keys.create_public_key(public)
    keys.create_relin_keys(relin)
    keys.create_galois_keys([1], galois)
    encoder, evaluator = seal.CKKSEncoder(context), seal.Evaluator(context)
    encryptor, decryptor = seal.Encryptor(context, public, secret), seal.Decryptor(context, secret)
    slots = encoder.slot_count()
    vector = seal.VectorDouble(values(slots))
    plain, target = encoder.encode(numpy.array(values(slots)), scale), seal.Plaintext()
    ciphertext, other = encryptor.encrypt_symmetric(plain), encryptor.encrypt(plain)
    product = evaluator.multiply(ciphertext, other)
    short = evaluator.relinearize(product, relin)

    def decrypt(what):
        made = seal.Plaintext()
        decryptor.decrypt(what, made)
        return made

    def whole():
        made = evaluator.multiply(ciphertext, other)
        evaluator.relinearize_inplace(made, relin)
        evaluator.rescale_to_next_inplace(made)
        return made

    ops = {
        "encode": lambda: encoder.encode(vector, scale, target),
        "decode": lambda: encoder.decode(plain),
        "encrypt_sym": lambda: encryptor.encrypt_symmetric(plain),
        "encrypt_pk": lambda: encryptor.encrypt(plain),
        "decrypt": lambda: decrypt(ciphertext),
        "add": lambda: evaluator.add(ciphertext, other),
        "mul_plain": lambda: evaluator.multiply_plain(ciphertext, plain),
        "mul": lambda: evaluator.multiply(ciphertext, other),
        "relinearize": lambda: evaluator.relinearize(product, relin),
        "rescale": lambda: evaluator.rescale_to_next(short),
        "mul_relin_rescale": whole,
        "rotate": lambda: evaluator.rotate_vector(ciphertext, 1, galois),
    }
    error = product_and_rotation_error(
        encoder.decode(decrypt(whole())),
        encoder.decode(decrypt(evaluator.rotate_vector(ciphertext, 1, galois))),
        slots,
    )
    return Opened(
        f"SEAL {version('seal-python')} (seal-python)", bits, ops, lambda: encoder.slot_count(), error, keep=(context, keys)
    )
