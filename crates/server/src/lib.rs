//! The encrypted inference server.
