//! The limits a server announces in `GET /service`, with their defaults and the least a server may offer.

use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $field:ident, $variant:ident = $default:expr, $minimum:expr;)+) => {
        /// Announced limits. Every one is a non-negative integer.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($field: $default,)+ }
            }
        }

        /// Names of the limits, as `limit_name` of a problem document has them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum LimitName {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl LimitName {
            /// Every limit.
            pub const ALL: &'static [LimitName] = &[$(LimitName::$variant,)+];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(LimitName::$variant => stringify!($field),)+ }
            }

            /// The least value with which a server still complies.
            pub fn minimum(self) -> u64 {
                match self { $(LimitName::$variant => $minimum,)+ }
            }
        }

        impl Limits {
            /// The value of one limit.
            pub fn value(&self, name: LimitName) -> u64 {
                match name { $(LimitName::$variant => self.$field,)+ }
            }
        }
    };
}

limits! {
    /// Longest request body, in bytes.
    max_request_bytes, MaxRequestBytes = 64 << 20, 16 << 20;
    /// Most inputs of one request.
    max_inputs, MaxInputs = 256, 64;
    /// Longest evaluation-key container, in bytes.
    max_key_bytes, MaxKeyBytes = 1 << 30, 0;
    /// Most stored evaluation keys of one tenant.
    max_keys_per_tenant, MaxKeysPerTenant = 8, 2;
    /// Most jobs of one tenant that are queued or running.
    max_active_jobs_per_tenant, MaxActiveJobsPerTenant = 64, 4;
    /// Longest wait that `Prefer: wait` or `?wait` may ask for, in seconds.
    max_wait_seconds, MaxWaitSeconds = 30, 1;
    /// Longest run of one job, in seconds.
    max_run_seconds, MaxRunSeconds = 600, 0;
    /// How long a finished job is kept at least, in seconds.
    job_ttl_seconds, JobTtlSeconds = 86_400, 3600;
    /// How long an idempotency key is remembered at least, in seconds.
    idempotency_ttl_seconds, IdempotencyTtlSeconds = 86_400, 3600;
    /// How long an unused evaluation key is kept at least, in seconds.
    key_ttl_seconds, KeyTtlSeconds = 604_800, 86_400;
}

impl Limits {
    /// The first limit below what a compliant server offers.
    pub fn below_minimum(&self) -> Option<LimitName> {
        LimitName::ALL.iter().copied().find(|name| self.value(*name) < name.minimum())
    }
}
