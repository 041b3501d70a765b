//! How much of the server one tenant may use in a while: requests, reads, octets, computation.
//!
//! Each quota is a bucket that holds what may be used at once and fills up again within a window, so a tenant that
//! was away has all of it, and one that never stops gets it spread evenly. Some of it is known before a request is
//! read (its one unit, the length it declares), some only later (the length of a body sent in chunks, what the plan
//! will cost): the first is taken at the door, and the door stays shut to those who have nothing left of the second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{Clock, elapsed};
use crate::id::Tenant;
use hei_protocol::Timestamp;

/// Tenants whose use is counted apart. Beyond that, and only while so many are below their quotas at once, newcomers
/// share one.
const MAX_TENANTS: usize = 16_384;
/// How often the table is searched for tenants whose quotas are full, which need no place.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// How much of the server one tenant may use in a [`Self::window`]. For each: unset is the default, which is no limit in
/// development mode; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// The window of every quota.
    pub window: Duration,
    /// Submissions; unset is 600.
    pub requests: Option<u64>,
    /// Reads and deletions of jobs and evaluation keys; unset is 6,000.
    pub reads: Option<u64>,
    /// Octets of request bodies; unset is 4 GiB.
    pub body_bytes: Option<u64>,
    /// Milliseconds of computation, as predicted from the plans; unset is 60,000, which is one processor's time.
    pub cpu_millis: Option<u64>,
}

impl Default for QuotaLimits {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            requests: None,
            reads: None,
            body_bytes: None,
            cpu_millis: None,
        }
    }
}

/// A quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Policy {
    /// Submissions.
    Infer,
    /// Reads and deletions.
    Reads,
    /// Octets of bodies.
    Bytes,
    /// Microseconds of computation.
    Cpu,
}

impl Policy {
    const ALL: [Self; 4] = [Self::Infer, Self::Reads, Self::Bytes, Self::Cpu];

    /// Its name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Reads => "reads",
            Self::Bytes => "bytes",
            Self::Cpu => "cpu",
        }
    }

    /// What its numbers on the wire count, unless it is requests.
    const fn unit(self) -> Option<&'static str> {
        match self {
            Self::Infer | Self::Reads => None,
            Self::Bytes => Some("content-bytes"),
            Self::Cpu => Some("cpu-milliseconds"),
        }
    }

    /// How many of its units are one on the wire.
    const fn scale(self) -> u64 {
        match self {
            Self::Cpu => 1000,
            Self::Infer | Self::Reads | Self::Bytes => 1,
        }
    }
}

/// A quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) policy: Policy,
    /// When what was asked for will be there.
    pub(crate) retry_after: Duration,
}

/// The quotas in force, and what each tenant has used of them.
pub(crate) struct Quotas {
    clock: Arc<dyn Clock>,
    window_millis: u64,
    /// What each policy allows in a window, in its units; nothing where there is no limit.
    quotas: [Option<u64>; 4],
    tenants: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Nobody in particular is whoever there is no place for.
    tenants: HashMap<Option<Tenant>, Buckets>,
    swept_at: Option<Timestamp>,
}

/// What is left to a tenant of each policy, in units times milliseconds of the window.
#[derive(Clone, Copy)]
struct Buckets {
    at: Timestamp,
    left: [u128; 4],
}

impl Quotas {
    pub(crate) fn new(limits: &QuotaLimits, authenticated: bool, clock: Arc<dyn Clock>) -> Self {
        let quota = |chosen: Option<u64>, default: u64, policy: Policy| {
            let allowed = chosen.unwrap_or(if authenticated { default } else { 0 });
            (allowed > 0).then(|| allowed.saturating_mul(policy.scale()))
        };
        Self {
            clock,
            window_millis: u64::try_from(limits.window.as_millis()).unwrap_or(u64::MAX).max(1),
            quotas: [
                quota(limits.requests, 600, Policy::Infer),
                quota(limits.reads, 6000, Policy::Reads),
                quota(limits.body_bytes, 4 << 30, Policy::Bytes),
                quota(limits.cpu_millis, 60_000, Policy::Cpu),
            ],
            tenants: Mutex::default(),
        }
    }

    /// Whether anything is limited.
    pub(crate) fn limits_anything(&self) -> bool {
        self.quotas.iter().any(Option::is_some)
    }

    fn quota(&self, policy: Policy) -> Option<u64> {
        self.quotas.get(policy as usize).copied().flatten()
    }

    fn full(&self) -> [u128; 4] {
        self.quotas.map(|quota| u128::from(quota.unwrap_or(0)) * u128::from(self.window_millis))
    }

    /// Looks at what a tenant has left, and changes it.
    fn with<T>(&self, tenant: &Tenant, change: impl FnOnce(&mut [u128; 4]) -> T) -> T {
        let (now, full) = (self.clock.now(), self.full());
        let mut table = crate::locked(&self.tenants);
        let Table { tenants, swept_at } = &mut *table;
        let mut name = Some(tenant.clone());
        if !tenants.contains_key(&name) && tenants.len() >= MAX_TENANTS {
            if swept_at.is_none_or(|at| elapsed(at, now) >= SWEEP_PAUSE) {
                *swept_at = Some(now);
                tenants.retain(|_, buckets| {
                    buckets.refill(now, &self.quotas, &full);
                    buckets.left != full
                });
            }
            if tenants.len() >= MAX_TENANTS {
                name = None;
            }
        }
        let buckets = tenants.entry(name).or_insert(Buckets { at: now, left: full });
        buckets.refill(now, &self.quotas, &full);
        change(&mut buckets.left)
    }

    /// Whether `amount` is left; more than the whole quota is taken for the whole quota.
    fn has(&self, left: &[u128; 4], policy: Policy, amount: u64) -> Result<(), Exceeded> {
        let Some(quota) = self.quota(policy) else { return Ok(()) };
        let needed = u128::from(amount.min(quota)) * u128::from(self.window_millis);
        let has = left.get(policy as usize).copied().unwrap_or(0);
        if has >= needed {
            return Ok(());
        }
        let millis = (needed - has).div_ceil(u128::from(quota));
        Err(Exceeded {
            policy,
            retry_after: Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)),
        })
    }

    fn spend(&self, left: &mut [u128; 4], policy: Policy, amount: u64) {
        if let Some(left) = left.get_mut(policy as usize) {
            *left = left.saturating_sub(u128::from(amount) * u128::from(self.window_millis));
        }
    }

    /// Takes this much, if it is left.
    pub(crate) fn take(&self, tenant: &Tenant, policy: Policy, amount: u64) -> Result<(), Exceeded> {
        self.with(tenant, |left| {
            self.has(left, policy, amount)?;
            self.spend(left, policy, amount);
            Ok(())
        })
    }

    /// Whether this much is left.
    pub(crate) fn check(&self, tenant: &Tenant, policy: Policy, amount: u64) -> Result<(), Exceeded> {
        self.with(tenant, |left| self.has(left, policy, amount))
    }

    /// Whether anything at all is left of a quota.
    pub(crate) fn check_any(&self, tenant: &Tenant, policy: Policy) -> Result<(), Exceeded> {
        self.check(tenant, policy, 1)
    }

    /// Counts what was used, whether it was there or not.
    pub(crate) fn charge(&self, tenant: &Tenant, policy: Policy, amount: u64) {
        self.with(tenant, |left| self.spend(left, policy, amount));
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, tenant: &Tenant, policy: Policy, amount: u64) {
        let full = self.full();
        self.with(tenant, |left| {
            if let (Some(left), Some(full)) = (left.get_mut(policy as usize), full.get(policy as usize)) {
                *left = left.saturating_add(u128::from(amount) * u128::from(self.window_millis)).min(*full);
            }
        });
    }

    /// The fields `RateLimit-Policy` and `RateLimit` for these policies, where any of them is in force.
    pub(crate) fn fields(&self, tenant: &Tenant, policies: &[Policy]) -> Option<(String, String)> {
        let left = self.with(tenant, |left| *left);
        let seconds = self.window_millis.div_ceil(1000);
        let (mut announced, mut remaining) = (Vec::new(), Vec::new());
        for policy in Policy::ALL.into_iter().filter(|policy| policies.contains(policy)) {
            let Some(quota) = self.quota(policy) else { continue };
            let (name, scale) = (policy.as_str(), policy.scale());
            let unit = policy.unit().map(|unit| format!(";qu=\"{unit}\"")).unwrap_or_default();
            announced.push(format!("\"{name}\";q={}{unit};w={seconds}", quota / scale));
            let has = left.get(policy as usize).copied().unwrap_or(0);
            let units = has / u128::from(self.window_millis) / u128::from(scale);
            let missing = (u128::from(quota) * u128::from(self.window_millis)).saturating_sub(has);
            let until_full = missing.div_ceil(u128::from(quota)).div_ceil(1000);
            remaining.push(format!("\"{name}\";r={units};t={until_full}"));
        }
        (!announced.is_empty()).then(|| (announced.join(", "), remaining.join(", ")))
    }
}

impl Buckets {
    fn refill(&mut self, now: Timestamp, quotas: &[Option<u64>; 4], full: &[u128; 4]) {
        let millis = elapsed(self.at, now).as_millis();
        if millis == 0 {
            return;
        }
        self.at = now;
        for ((left, quota), full) in self.left.iter_mut().zip(quotas).zip(full) {
            *left = left.saturating_add(u128::from(quota.unwrap_or(0)).saturating_mul(millis)).min(*full);
        }
    }
}

#[cfg(test)]
mod tests;
