//! The messages of the protocol: schemas, problem codes, limits, strict parsing.
