//! Secret keys that strayed into a request: found before anything else about its payloads is judged.

use hei_protocol::messages::{Input, Payload};
use hei_protocol::{Encoding, encoding};

/// The first input that is a secret key, of whatever parameters and however misplaced. Decodes only the beginning of
/// a payload, and all of one that is compressed.
pub(super) fn secret_key(inputs: &[Input<'_>]) -> Option<usize> {
    inputs.iter().position(is_secret_key)
}

fn is_secret_key(input: &Input<'_>) -> bool {
    let text = match &input.payload {
        Payload::Octets(octets) => return hei_wire::is_secret_key(octets),
        Payload::Text(text) => text,
    };
    let Some(mut beginning) = beginning(input.encoding, text) else { return false };
    let found = if hei_wire::may_be_compressed(&beginning) {
        let whole = encoding::decode(input.encoding, text);
        whole.is_ok_and(|mut octets| {
            let found = hei_wire::is_secret_key(&octets);
            hei_wire::wipe(&mut octets);
            found
        })
    } else {
        hei_wire::is_secret_key(&beginning)
    };
    hei_wire::wipe(&mut beginning);
    found
}

/// The first octets of a payload that is text; `None` where it is not what its encoding says.
fn beginning(of: Encoding, text: &str) -> Option<Vec<u8>> {
    // 96 octets are whole groups of hex and of base64.
    let length = usize::try_from(of.encoded_len(hei_wire::SECRET_KEY_PREFIX as u64)).ok()?;
    encoding::decode(of, text.get(..length).unwrap_or(text)).ok()
}
