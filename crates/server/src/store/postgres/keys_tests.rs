//! The promises of every store of keys, in a real PostgreSQL.

use super::*;

struct Tested(super::Tested);

impl Tested {
    async fn open(keys_per_tenant: usize, key_ttl: Duration, clock: Arc<dyn Clock>) -> Option<Self> {
        let capacity = Capacity { keys_per_tenant, key_ttl, ..capacity() };
        super::Tested::open(capacity, clock).await.map(Self)
    }

    fn corrupt(&self, _: &Tenant, _: hei_protocol::KeyId) {
        for entry in std::fs::read_dir(self.0.place.blobs()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "key") {
                let mut octets = std::fs::read(&path).unwrap();
                octets[100] ^= 1;
                std::fs::write(path, octets).unwrap();
            }
        }
    }
}

impl Deref for Tested {
    type Target = PostgresStore;

    fn deref(&self) -> &PostgresStore {
        &self.0.store
    }
}

#[allow(clippy::duplicate_mod, reason = "one contract, several stores")]
#[path = "../../keys/memory_tests.rs"]
mod contract;
