"""OpenFHE with hybrid key switching and manual rescaling."""

from importlib.metadata import version

import openfhe
from driver import Absent, Opened, product_and_rotation_error, values


def open_set(spec):
    data = spec["data"]
    if len(set(data[1:])) > 1 or data[1] != spec["log_scale"]:
        raise Absent("its primes after the first have the size of the scale")
    parameters = openfhe.CCParamsCKKSRNS()
    parameters.SetRingDim(spec["degree"])
    parameters.SetBatchSize(spec["degree"] // 2)
    parameters.SetMultiplicativeDepth(len(data) - 1)
    parameters.SetFirstModSize(data[0])
    parameters.SetScalingModSize(data[1])
    parameters.SetScalingTechnique(openfhe.FIXEDMANUAL)
    parameters.SetKeySwitchTechnique(openfhe.HYBRID)
    parameters.SetNumLargeDigits(3 if len(data) > 4 else len(data))
    parameters.SetSecurityLevel(openfhe.HEStd_128_classic)
    context = openfhe.GenCryptoContext(parameters)
    for feature in (openfhe.PKE, openfhe.KEYSWITCH, openfhe.LEVELEDSHE):
        context.Enable(feature)
    slots = context.GetRingDimension() // 2
    if slots * 2 != spec["degree"]:
        raise Absent(f"it answers this chain with N={slots * 2}")
    keys = context.KeyGen()
    public, secret = keys.publicKey, keys.secretKey
    context.EvalMultKeyGen(secret)
    context.EvalRotateKeyGen(secret, list(range(1, 17)))
    vector = values(slots)
    plain = context.MakeCKKSPackedPlaintext(vector)
    ciphertext, other = context.Encrypt(public, plain), context.Encrypt(public, plain)
    product = context.EvalMultNoRelin(ciphertext, other)
    short = context.Relinearize(product)
    cyclotomic = context.GetCyclotomicOrder()

    def decode(what):
        plaintext = context.Decrypt(secret, what)
        plaintext.SetLength(slots)
        return plaintext.GetRealPackedValue()

    def whole():
        return context.Rescale(context.EvalMult(ciphertext, other))

    def sixteen():
        digits = context.EvalFastRotationPrecompute(ciphertext)
        return [context.EvalFastRotation(ciphertext, step, cyclotomic, digits) for step in range(1, 17)]

    ops = {
        "encrypt_pk": lambda: context.Encrypt(public, plain),
        "add": lambda: context.EvalAdd(ciphertext, other),
        "mul_plain": lambda: context.EvalMult(ciphertext, plain),
        "mul": lambda: context.EvalMultNoRelin(ciphertext, other),
        "relinearize": lambda: context.Relinearize(product),
        "rescale": lambda: context.Rescale(short),
        "mul_relin_rescale": whole,
        "rotate": lambda: context.EvalRotate(ciphertext, 1),
        "rotate_hoisted": sixteen,
    }
    error = product_and_rotation_error(decode(whole()), decode(context.EvalRotate(ciphertext, 1)), slots)
    note = (
        f"hybrid keys, {parameters.GetNumLargeDigits()} digits, special primes of its own; decryption decodes, "
        "and encode converts Python lists: not timed"
    )
    return Opened(f"OpenFHE {version('openfhe')}", data, ops, lambda: context.GetRingDimension(), error, note, (keys,))
