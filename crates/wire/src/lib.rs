//! Bytes to CKKS values and back: the hei/1 container and SEAL streams, strictly decoded.
