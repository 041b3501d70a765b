//! Target 13; `HEI_KERNEL` names the kernel, or the best there is runs.

#![no_main]

#[path = "../bodies/mod.rs"]
mod bodies;

use hei_ring::kernel;

libfuzzer_sys::fuzz_target!(
    init: {
        if let Some(level) = std::env::var("HEI_KERNEL").ok().and_then(|name| kernel::Level::from_name(&name)) {
            assert!(kernel::force(level), "this processor has no {}", level.name());
        }
    },
    |data: &[u8]| {
        bodies::ring_ops(data);
    }
);
