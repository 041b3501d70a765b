use hei_ckks::{OsRandomness, Parameters, ParametersLiteral};

use super::*;

fn parameters(bits: &[u32]) -> Parameters {
    Parameters::new(&ParametersLiteral {
        poly_modulus_degree: 2048,
        coeff_modulus_bits: bits.to_vec(),
        special_count: 0,
        scale: 1024.0,
    })
    .unwrap()
}

fn key(parameters: &Parameters) -> SecretKey {
    SecretKey::generate(parameters.context(), &mut OsRandomness).unwrap()
}

/// Keys have no equality; their containers do.
fn container(key: &SecretKey, parameters: &Parameters) -> Zeroizing<Vec<u8>> {
    write(key, parameters.context(), None, &mut OsRandomness).unwrap()
}

#[test]
fn a_bare_key_comes_back() {
    let parameters = parameters(&[50]);
    let key = key(&parameters);
    let file = container(&key, &parameters);
    let info = describe(&file).unwrap();
    assert_eq!((info.locked, info.params_id), (false, parameters.context().params_id()));
    let back = read(&file, parameters.context(), None).unwrap();
    assert_eq!(*container(&back, &parameters), *file);
}

#[test]
fn a_locked_key_comes_back_with_its_passphrase_only() {
    let parameters = parameters(&[50]);
    let key = key(&parameters);
    let file = write(&key, parameters.context(), Some(b"correct horse"), &mut OsRandomness).unwrap();
    let info = describe(&file).unwrap();
    assert_eq!((info.locked, info.params_id), (true, parameters.context().params_id()));
    let back = read(&file, parameters.context(), Some(b"correct horse")).unwrap();
    assert_eq!(*container(&back, &parameters), *container(&key, &parameters));
    for wrong in [&b"correct horsf"[..], b"", b"correct horse\n"] {
        let refused = read(&file, parameters.context(), Some(wrong));
        assert!(matches!(refused, Err(KeyFileError::WrongPassphraseOrChanged)));
    }
    assert!(matches!(read(&file, parameters.context(), None), Err(KeyFileError::PassphraseNeeded)));
    let unlocked = container(&key, &parameters);
    let secret = &unlocked[unlocked.len() - 64..];
    assert!(!file.windows(secret.len()).any(|window| window == secret), "the container is not in the clear");
}

#[test]
fn two_locked_files_of_one_key_share_neither_salt_nor_nonce() {
    let parameters = parameters(&[50]);
    let key = key(&parameters);
    let locked = || write(&key, parameters.context(), Some(b"p"), &mut OsRandomness).unwrap();
    let (a, b) = (locked(), locked());
    assert_eq!(a[..60], b[..60]);
    assert_ne!(a[60..76], b[60..76]);
    assert_ne!(a[76..100], b[76..100]);
    assert_ne!(a[100..], b[100..]);
}

#[test]
fn every_changed_byte_is_noticed() {
    let parameters = parameters(&[50]);
    let file = write(&key(&parameters), parameters.context(), Some(b"p"), &mut OsRandomness).unwrap();
    // Cost fields either fall outside their bounds or change the derivation; one of each suffices, it is
    // slow.
    for at in [0, 8, 9, 10, 11, 13, 16, 20, 24, 28, 59, 60, 75, 76, 99, 100, file.len() / 2, file.len() - 1] {
        let mut changed = file.to_vec();
        changed[at] ^= 1;
        assert!(read(&changed, parameters.context(), Some(b"p")).is_err(), "byte {at}");
    }
    for cut in [0, 8, 99, 115, file.len() - 1] {
        assert!(matches!(describe(&file[..cut]), Err(KeyFileError::Malformed)), "cut at {cut}");
    }
    let mut longer = file.to_vec();
    longer.push(0);
    assert!(matches!(describe(&longer), Err(KeyFileError::Malformed)));
}

#[test]
fn an_unreasonable_derivation_is_refused_before_it_starts() {
    let parameters = parameters(&[50]);
    let file = write(&key(&parameters), parameters.context(), Some(b"p"), &mut OsRandomness).unwrap();
    for (at, value) in [(12, u32::MAX), (12, 0), (16, 1 << 20), (16, 0), (20, 1 << 24), (20, 0)] {
        let mut hostile = file.to_vec();
        hostile[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let refused = read(&hostile, parameters.context(), Some(b"p"));
        assert!(matches!(refused, Err(KeyFileError::CostRefused { .. })), "{at} {value}");
    }
}

#[test]
fn a_key_for_other_parameters_and_foreign_bytes_are_refused() {
    let (mine, other) = (parameters(&[50]), parameters(&[49]));
    let file = container(&key(&other), &other);
    assert!(matches!(read(&file, mine.context(), None), Err(KeyFileError::OtherParameters { .. })));
    for foreign in [&b""[..], b"hello", &[0; 200]] {
        assert!(matches!(describe(foreign), Err(KeyFileError::Malformed)));
    }
    assert!(matches!(
        write(&key(&mine), mine.context(), Some(b""), &mut OsRandomness),
        Err(KeyFileError::EmptyPassphrase)
    ));
}
