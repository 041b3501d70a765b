//! The encrypted inference client: sessions without I/O, and HTTP as a feature.
