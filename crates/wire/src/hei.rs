//! The project's own container, `hei/1`: `spec/wire.md`.

mod decode;
mod encode;
pub(crate) mod header;
mod keys;
pub(crate) mod pack;

pub use decode::{
    decode_ciphertext, decode_list, decode_public_key, decode_reply, decode_reply_list, decode_request,
    decode_secret_key,
};
pub use encode::{
    encode_ciphertext, encode_ciphertext_full, encode_list, encode_public_key, encode_reply,
    encode_reply_list, encode_request, encode_secret_key,
};
pub use header::Header;
pub(crate) use keys::manifest as key_manifest;
pub use keys::{KeyHeader, decode_evaluation_keys, encode_evaluation_keys, encode_evaluation_keys_full};
