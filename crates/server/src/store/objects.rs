//! Large payloads in an object store: a folder that all processes share, or a bucket of any S3 API.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};

use super::StoreError;

/// Where large payloads are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobsAddress {
    /// A folder that every process sees under this name.
    Folder(PathBuf),
    /// A bucket. Endpoint, region and credentials come from the variables `AWS_…`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What every name begins with; may be empty.
        prefix: String,
    },
}

impl BlobsAddress {
    /// Reads `s3://bucket[/prefix]`, or a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("s3://") {
            Some(place) => {
                let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
                let prefix = prefix.trim_matches('/').to_owned();
                (!bucket.is_empty()).then(|| Self::S3 { bucket: bucket.to_owned(), prefix })
            }
            None => (!text.is_empty() && !text.contains("://")).then(|| Self::Folder(text.into())),
        }
    }
}

impl fmt::Display for BlobsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// An object store, below a prefix.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

fn refused(error: object_store::Error) -> StoreError {
    StoreError::Unreachable(format!("the object store: {error}"))
}

impl Objects {
    /// Opens it, and sees that it can be written to.
    pub(super) async fn open(address: &BlobsAddress) -> Result<Self, String> {
        let text = |error: object_store::Error| error.to_string();
        let (store, prefix): (Arc<dyn ObjectStore>, Path) = match address {
            BlobsAddress::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
                // An acknowledged payload is on the disk.
                let local = LocalFileSystem::new_with_prefix(folder).map_err(text)?.with_fsync(true);
                (Arc::new(local), Path::default())
            }
            BlobsAddress::S3 { bucket, prefix } => {
                let retry = RetryConfig {
                    max_retries: 5,
                    retry_timeout: Duration::from_secs(20),
                    ..RetryConfig::default()
                };
                let s3 = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
                let prefix = Path::parse(prefix).map_err(|error| error.to_string())?;
                (Arc::new(s3.build().map_err(text)?), prefix)
            }
        };
        let objects = Self { store, prefix };
        objects.put("probe", Bytes::from_static(b"hei")).await.map_err(|error| error.to_string())?;
        Ok(objects)
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    /// Writes an object; when this returns, it is durable and whole.
    pub(super) async fn put(&self, name: &str, octets: Bytes) -> Result<(), StoreError> {
        self.store.put(&self.path(name), PutPayload::from_bytes(octets)).await.map(drop).map_err(refused)
    }

    /// An object of at most so many octets; none when it is not there, or longer.
    pub(super) async fn get(&self, name: &str, limit: u64) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(&self.path(name)).await {
            Ok(found) if found.meta.size > limit => Ok(None),
            Ok(found) => found.bytes().await.map(Some).map_err(refused),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    /// Removes an object; what stays is an orphan, and is swept later.
    pub(super) async fn remove(&self, name: &str) {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(name, %error, "a payload could not be removed"),
        }
    }

    /// The names of all objects older than `age`, by the object store's clock and ours.
    pub(super) async fn older_than(&self, age: Duration) -> Result<Vec<String>, StoreError> {
        let now = SystemTime::now();
        let mut old = Vec::new();
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let mut listed = self.store.list(prefix);
        while let Some(object) = listed.try_next().await.map_err(refused)? {
            let written = SystemTime::from(object.last_modified);
            let Some(name) = object.location.filename() else { continue };
            if now.duration_since(written).is_ok_and(|since| since >= age) {
                old.push(name.to_owned());
            }
        }
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_bucket() {
        let s3 =
            |bucket: &str, prefix: &str| BlobsAddress::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(BlobsAddress::parse("s3://b"), Some(s3("b", "")));
        assert_eq!(BlobsAddress::parse("s3://b/p/q/"), Some(s3("b", "p/q")));
        assert_eq!(BlobsAddress::parse("./blobs"), Some(BlobsAddress::Folder("./blobs".into())));
        for bad in ["", "s3://", "s3:///p", "gs://b"] {
            assert_eq!(BlobsAddress::parse(bad), None, "{bad:?}");
        }
        assert_eq!(BlobsAddress::parse("s3://b/p").unwrap().to_string(), "s3://b/p");
    }

    #[tokio::test]
    async fn objects_are_whole_or_absent_and_removed_ones_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(&BlobsAddress::Folder(folder.path().join("new"))).await.unwrap();
        objects.put("one", Bytes::from_static(b"12345")).await.unwrap();
        assert_eq!(objects.get("one", 5).await.unwrap().unwrap().as_ref(), b"12345");
        assert_eq!(objects.get("one", 4).await.unwrap(), None, "longer than it can be");
        assert_eq!(objects.get("two", 4).await.unwrap(), None);
        let mut all = objects.older_than(Duration::ZERO).await.unwrap();
        all.sort();
        assert_eq!(all, ["one", "probe"]);
        assert_eq!(objects.older_than(Duration::from_secs(60)).await.unwrap(), Vec::<String>::new());
        objects.remove("one").await;
        objects.remove("one").await;
        assert_eq!(objects.get("one", 5).await.unwrap(), None);
    }
}
