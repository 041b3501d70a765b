use super::*;
use crate::clock::ManualClock;

const HOUR: Duration = Duration::from_secs(3600);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)))
}

fn table(path: &Path, clock: &Arc<ManualClock>) -> TokenTable {
    TokenTable::open(Box::new(TokenFile(path.to_owned())), Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

/// As if the last reading were long ago.
fn age(table: &TokenTable) {
    crate::locked(&table.state).read_at = Instant::now().checked_sub(MAX_AGE).unwrap();
}

#[test]
fn a_token_works_until_it_expires_or_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let clock = clock();
    let scopes = BTreeSet::from([Scope::Infer, Scope::Keys]);
    let first = create(&path, "acme", scopes.clone(), clock.now(), None).unwrap();
    let short = create(&path, "acme", scopes.clone(), clock.now(), Some(HOUR)).unwrap();
    let table = table(&path, &clock);
    let (tenant, allowed) = table.find(&first.token).unwrap();
    assert_eq!((tenant.name(), allowed), ("acme", scopes));
    assert!(table.find(&short.token).is_some());
    clock.advance(HOUR);
    assert!(table.find(&short.token).is_none());
    assert!(table.find(&first.token).is_some());
    assert_eq!(revoke(&path, &first.record.id).unwrap(), first.record);
    assert!(matches!(revoke(&path, &first.record.id), Err(TokenError::Unknown)));
    assert!(MAX_AGE <= Duration::from_secs(5), "the promise of a revocation");
    age(&table);
    assert!(table.find(&first.token).is_none());
    assert_eq!(list(&path).unwrap(), [short.record]);
}

#[test]
fn nothing_but_the_token_itself_is_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let clock = clock();
    let made = create(&path, "acme", BTreeSet::from([Scope::Infer]), clock.now(), None).unwrap();
    let token = made.token.as_str();
    let table = table(&path, &clock);
    let (id, secret) = token.strip_prefix("hei_").unwrap().split_once('_').unwrap();
    assert_eq!((id.len(), secret.len()), (16, 44));
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let mut wrong = vec![
        String::new(),
        "hei_".to_owned(),
        "hei__".to_owned(),
        format!("hei_{id}_"),
        format!("hei_{}_{secret}", "0".repeat(16)),
        format!("{token}0"),
        token.to_uppercase(),
        token[..token.len() - 1].to_owned(),
        made.record.secret_sha256.clone(),
        format!("hei_{id}_{}", made.record.secret_sha256),
    ];
    wrong.extend((0..token.len()).map(|at| {
        let mut octets = token.as_bytes().to_vec();
        octets[at] = if octets[at] == b'x' { b'y' } else { b'x' };
        String::from_utf8(octets).unwrap()
    }));
    for wrong in wrong {
        assert!(table.find(&wrong).is_none());
    }
    assert!(table.find(token).is_some());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(secret), "the file does not hold the secret");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_or_that_is_broken_lets_nobody_in() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let clock = clock();
    let made = create(&path, "acme", BTreeSet::new(), clock.now(), None).unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let table = table(&path, &clock);
    mode(0o640);
    assert!(matches!(list(&path), Err(TokenError::Mode { mode: 0o640, .. })));
    age(&table);
    assert!(table.find(&made.token).is_none());
    mode(0o600);
    age(&table);
    assert!(table.find(&made.token).is_some(), "once it is mended it works again");
    std::fs::write(&path, b"{\"version\": 1, \"tokens\": [").unwrap();
    assert!(matches!(list(&path), Err(TokenError::Format { .. })));
    age(&table);
    assert!(table.find(&made.token).is_none());
    assert!(TokenTable::open(Box::new(TokenFile(path)), clock).is_err(), "and no server starts on it");
}

#[test]
fn tenants_and_secrets_are_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let refused = create(&path, "a b", BTreeSet::new(), clock().now(), None);
    assert!(matches!(refused.err(), Some(TokenError::Tenant(_))));
    assert!(list(&path).unwrap().is_empty());
    assert_eq!(base62(&[0; 32]).as_str(), "0".repeat(44));
    assert_ne!(base62(&[0xff; 32]), base62(&[0xfe; 32]));
}
