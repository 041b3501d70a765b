use super::*;
use crate::clock::ManualClock;

fn quotas(limits: QuotaLimits, authenticated: bool) -> (Quotas, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)));
    (Quotas::new(&limits, authenticated, Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

fn tenant(name: &str) -> Tenant {
    Tenant::from_header(Some(name.as_bytes())).unwrap()
}

const FIVE: QuotaLimits = QuotaLimits {
    window: Duration::from_secs(10),
    requests: Some(5),
    reads: Some(0),
    body_bytes: Some(1000),
    cpu_millis: None,
};

#[test]
fn a_quota_is_used_up_and_fills_again_evenly() {
    let (quotas, clock) = quotas(FIVE, false);
    let a = tenant("a");
    let take = |name: &Tenant| quotas.take(name, Policy::Infer, 1);
    for left in (0..5).rev() {
        take(&a).unwrap();
        let (policy, limit) = quotas.fields(&a, &[Policy::Infer]).unwrap();
        assert_eq!(policy, "\"infer\";q=5;w=10");
        assert!(limit.starts_with(&format!("\"infer\";r={left};t=")), "{limit}");
    }
    let exceeded = Exceeded { policy: Policy::Infer, retry_after: Duration::from_secs(2) };
    assert_eq!(take(&a), Err(exceeded));
    assert_eq!(take(&tenant("b")), Ok(()), "the others' are their own");
    clock.advance(Duration::from_millis(1999));
    let exceeded = Exceeded { policy: Policy::Infer, retry_after: Duration::from_millis(1) };
    assert_eq!(take(&a), Err(exceeded));
    clock.advance(exceeded.retry_after);
    assert_eq!(take(&a), Ok(()), "what was said about when to come back is true");
    clock.advance(Duration::from_secs(1000));
    assert!((0..5).all(|_| take(&a).is_ok()));
    assert!(take(&a).is_err(), "time away earns no more than the quota");
    quotas.give_back(&a, Policy::Infer, 1);
    assert_eq!(take(&a), Ok(()));
}

#[test]
fn more_than_a_window_allows_is_not_refused_for_ever_and_nobody_is_in_debt() {
    let (quotas, clock) = quotas(FIVE, false);
    let a = tenant("a");
    quotas.take(&a, Policy::Bytes, 900).unwrap();
    let refused = quotas.take(&a, Policy::Bytes, 300);
    assert_eq!(refused, Err(Exceeded { policy: Policy::Bytes, retry_after: Duration::from_secs(2) }));
    let (_, limit) = quotas.fields(&a, &[Policy::Bytes, Policy::Infer]).unwrap();
    assert_eq!(limit, "\"infer\";r=5;t=0, \"bytes\";r=100;t=9");
    clock.advance(Duration::from_secs(10));
    quotas.take(&a, Policy::Bytes, 1_000_000).unwrap();
    assert!(quotas.check_any(&a, Policy::Bytes).is_err());
    quotas.charge(&a, Policy::Bytes, 1_000_000);
    clock.advance(Duration::from_millis(10));
    assert_eq!(quotas.check_any(&a, Policy::Bytes), Ok(()));
}

#[test]
fn without_authentication_only_what_was_chosen_is_limited() {
    let (nothing, _) = quotas(QuotaLimits::default(), false);
    assert!(!nothing.limits_anything());
    assert_eq!(nothing.fields(&tenant("a"), &Policy::ALL), None);
    let (all, _) = quotas(QuotaLimits::default(), true);
    let (policies, limits) = all.fields(&tenant("a"), &Policy::ALL).unwrap();
    assert_eq!(
        policies,
        "\"infer\";q=600;w=60, \"reads\";q=6000;w=60, \"bytes\";q=4294967296;qu=\"content-bytes\";w=60, \
         \"cpu\";q=60000;qu=\"cpu-milliseconds\";w=60"
    );
    assert!(limits.contains("\"cpu\";r=60000;t=0"), "{limits}");
    let (some, _) = quotas(FIVE, true);
    assert_eq!(some.quota(Policy::Reads), None, "0 is no limit");
    assert_eq!(some.quota(Policy::Cpu), Some(60_000_000));
}

#[test]
fn any_number_of_tenants_takes_a_bounded_table() {
    let (quotas, clock) = quotas(FIVE, false);
    let take = |name: &Tenant| quotas.take(name, Policy::Infer, 1);
    for index in 0..MAX_TENANTS {
        take(&tenant(&format!("t{index}"))).unwrap();
    }
    let crowd = |from: usize| {
        let strangers = (from..from + 100_000).map(|index| tenant(&format!("t{index}")));
        strangers.filter(|stranger| take(stranger).is_ok()).count()
    };
    assert_eq!(crowd(MAX_TENANTS), 5, "strangers share");
    assert!(crate::locked(&quotas.tenants).tenants.len() <= MAX_TENANTS + 1);
    assert_eq!(take(&tenant("t0")), Ok(()), "who was there keeps its own");
    clock.advance(Duration::from_secs(10));
    assert_eq!(take(&tenant("new")), Ok(()), "whose quota is full again needs no place");
    assert!(crate::locked(&quotas.tenants).tenants.len() < 3);
}
