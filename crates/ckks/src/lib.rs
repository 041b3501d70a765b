//! The CKKS scheme: parameters and their security table, encoders, keys, encryption, evaluation.
