//! The port to a file or object store, and its real implementation.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use quittance_protocol::{Secret, foreign_words};

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such object here: another machine's folder may have it.
    #[error("no such object in this store")]
    NotFound,
    /// Full, down, or refusing us.
    #[error("the answer store is unavailable: {0}")]
    Unavailable(String),
    /// It did not answer within `store_timeout_ms`.
    #[error("the answer store did not answer in time")]
    TimedOut,
    /// The object is not what was written.
    #[error("an object of the answer store is damaged")]
    Damaged,
    /// The settings do not describe a store.
    #[error("{0}")]
    Settings(String),
}

/// A store of immutable objects. What `put` has answered is durable; an object
/// is there completely or not at all.
#[async_trait]
pub trait Objects: fmt::Debug + Send + Sync + 'static {
    /// Writes one object.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// Reads a part of one object.
    async fn get(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError>;
    /// Deletes everything below `folder`; nothing there is fine.
    async fn delete_all(&self, folder: &str) -> Result<(), StoreError>;
}

/// A folder of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

/// An S3-compatible bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// What all our objects' paths begin with.
    pub prefix: String,
    /// URL of the service; AWS's own without one.
    pub endpoint: Option<String>,
    /// Region, where the service has any.
    pub region: Option<String>,
    /// Access key id.
    pub access_key_id: Option<Secret>,
    /// Secret access key.
    pub secret_access_key: Option<Secret>,
    /// Whether the endpoint may be plain http.
    pub allow_http: bool,
}

/// Opens a folder and creates it where it is missing. Written files and their
/// folders are flushed before `put` answers.
pub fn folder(folder: &Folder) -> Result<Arc<dyn Objects>, StoreError> {
    let Folder(path) = folder;
    let fail = |what: &dyn fmt::Display| {
        StoreError::Settings(format!("the folder {} cannot be used: {what}", path.display()))
    };
    std::fs::create_dir_all(path).map_err(|error| fail(&error))?;
    restrict(path).map_err(|error| fail(&error))?;
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| fail(&error))?
        .with_fsync(true)
        .with_automatic_cleanup(true);
    Ok(Arc::new(Stored { store: Arc::new(store), prefix: String::new() }))
}

/// A folder that is created when the first object is written: most programs that
/// have one by default never keep a long answer.
pub fn folder_when_needed(folder: Folder) -> Arc<dyn Objects> {
    Arc::new(Lazy { folder, opened: OnceLock::new() })
}

#[derive(Debug)]
struct Lazy {
    folder: Folder,
    opened: OnceLock<Arc<dyn Objects>>,
}

impl Lazy {
    fn open(&self) -> Result<&Arc<dyn Objects>, StoreError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = folder(&self.folder)?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// The folder, if it was ever made.
    fn made(&self) -> Result<Option<&Arc<dyn Objects>>, StoreError> {
        let made = self.opened.get().is_some() || self.folder.0.is_dir();
        made.then(|| self.open()).transpose()
    }
}

#[async_trait]
impl Objects for Lazy {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.open()?.put(path, bytes).await
    }

    async fn get(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.made()?.ok_or(StoreError::NotFound)?.get(path, range).await
    }

    async fn delete_all(&self, folder: &str) -> Result<(), StoreError> {
        match self.made()? {
            Some(made) => made.delete_all(folder).await,
            None => Ok(()),
        }
    }
}

/// Nobody but us looks into it, encrypted as it is.
#[cfg(unix)]
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Opens a bucket; asks it nothing yet.
pub fn s3(settings: &S3) -> Result<Arc<dyn Objects>, StoreError> {
    // Without these, the environment's and the machine's own credentials count.
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(&settings.bucket).with_allow_http(settings.allow_http);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(id) = settings.access_key_id.as_ref().and_then(Secret::expose_str) {
        builder = builder.with_access_key_id(id);
    }
    if let Some(key) = settings.secret_access_key.as_ref().and_then(Secret::expose_str) {
        builder = builder.with_secret_access_key(key);
    }
    let store = builder.build().map_err(|error| {
        StoreError::Settings(format!("answers.store: {}", foreign_words(&error.to_string())))
    })?;
    let prefix = settings.prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok(Arc::new(Stored { store: Arc::new(store), prefix }))
}

/// A store in memory, for tests and simulators: it forgets with the process.
pub fn memory() -> Arc<dyn Objects> {
    let store = Arc::new(object_store::memory::InMemory::new());
    Arc::new(Stored { store, prefix: String::new() })
}

#[derive(Debug)]
struct Stored {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Stored {
    fn at(&self, path: &str) -> ObjectPath {
        ObjectPath::from(format!("{}{path}", self.prefix))
    }
}

fn fault(error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::NotFound { .. } => StoreError::NotFound,
        // A service repeats what it was asked, its signature among it.
        other => StoreError::Unavailable(foreign_words(&other.to_string())),
    }
}

#[async_trait]
impl Objects for Stored {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(&self.at(path), bytes.into()).await.map(drop).map_err(fault)
    }

    async fn get(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.get_range(&self.at(path), range).await.map_err(fault)
    }

    async fn delete_all(&self, folder: &str) -> Result<(), StoreError> {
        let found: Vec<_> = self
            .store
            .list(Some(&self.at(folder)))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(fault)?;
        let gone = self.store.delete_stream(futures::stream::iter(found.into_iter().map(Ok)).boxed());
        gone.map_err(fault)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .or_else(|error| if error == StoreError::NotFound { Ok(()) } else { Err(error) })
    }
}
