//! Polynomials in Z_q[X]/(X^N+1) by residues: moduli, NTT, automorphisms, samplers.
