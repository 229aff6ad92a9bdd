//! `[answers]` of the configuration: how long and where answers are kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quittance_answers::{AnswerStore, Folder, Limits, Objects, S3, StoreError};
use quittance_protocol::Secret;
use serde::Deserialize;

use super::secrets::read;
use super::{Config, ConfigError, resolve};

/// What a bucket's address begins with.
const S3_SCHEME: &str = "s3://";

/// Where answers go when neither `answers.store` nor the ledger names a place.
const FOLDER: &str = "quittance-answers";

/// `[answers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswersConfig {
    /// A folder, or `s3://bucket/prefix`. Default: the ledger's file with
    /// `.answers` behind its name, or `quittance-answers` beside a server's ledger.
    pub store: Option<String>,
    /// Longest answer that lies in the ledger itself.
    pub ledger_bytes_max: u64,
    /// Longest answer that is kept.
    pub answer_bytes_max: u64,
    /// What all answers in the store may take.
    pub total_bytes_max: u64,
    /// What answers being made may take in memory, beyond `ledger_bytes_max` each.
    pub memory_bytes_max: u64,
    /// How long one operation of the store may take.
    pub store_timeout_ms: u64,
    /// How long an answer that is not kept waits for a reader who takes nothing.
    pub reader_stall_seconds: u64,
    /// How long a reader may take once the answer is complete.
    pub reader_seconds_max: u64,
    /// S3: URL of the service, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// S3: region.
    pub region: Option<String>,
    /// S3: reference to the access key id (`env:NAME`, `file:PATH`). Without one,
    /// the environment's and the machine's own credentials count.
    pub access_key_id: Option<String>,
    /// S3: reference to the secret access key.
    pub secret_access_key: Option<String>,
    /// S3: whether the endpoint may be plain http.
    pub allow_http: bool,
}

impl Default for AnswersConfig {
    fn default() -> Self {
        Self {
            store: None,
            ledger_bytes_max: 256 * 1024,
            answer_bytes_max: 64 * 1024 * 1024,
            total_bytes_max: 10 * 1024 * 1024 * 1024,
            memory_bytes_max: 256 * 1024 * 1024,
            store_timeout_ms: 30_000,
            reader_stall_seconds: 120,
            reader_seconds_max: 3_600,
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            allow_http: false,
        }
    }
}

impl Config {
    /// Limits of the answer store. `gate.answer_body_bytes_max`, which bounded
    /// what was kept at all, still bounds what is kept in the ledger.
    pub fn answer_limits(&self) -> Limits {
        let AnswersConfig { ledger_bytes_max, answer_bytes_max, total_bytes_max, memory_bytes_max, .. } =
            self.answers;
        let gate = u64::try_from(self.gate.answer_body_bytes_max).unwrap_or(u64::MAX);
        Limits {
            inline_bytes_max: ledger_bytes_max.min(gate),
            answer_bytes_max,
            total_bytes_max,
            memory_bytes_max,
            store_timeout: Duration::from_millis(self.answers.store_timeout_ms),
            reader_stall: Duration::from_secs(self.answers.reader_stall_seconds),
            reader_max: Duration::from_secs(self.answers.reader_seconds_max),
        }
    }

    /// Opens the store of kept answers. A folder that was configured is made now,
    /// or the start fails; the default one is made when it is needed.
    pub fn answer_store(&self) -> Result<AnswerStore, ConfigError> {
        let objects = match self.answers.store.as_deref() {
            None => quittance_answers::folder_when_needed(Folder(self.default_folder()?)),
            Some(place) => self.place(place).map_err(|error| ConfigError::Invalid(error.to_string()))?,
        };
        Ok(AnswerStore::new(objects, self.answer_limits()))
    }

    fn place(&self, place: &str) -> Result<Arc<dyn Objects>, StoreError> {
        let Some(bucket) = place.strip_prefix(S3_SCHEME) else {
            return quittance_answers::folder(&Folder(PathBuf::from(place)));
        };
        let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
        let secret = |key: &str, reference: &Option<String>| -> Result<Option<Secret>, StoreError> {
            let read = reference.as_deref().map(|reference| read(key, reference)).transpose();
            read.map_err(|error| StoreError::Settings(error.to_string()))
        };
        quittance_answers::s3(&S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: self.answers.endpoint.clone(),
            region: self.answers.region.clone(),
            access_key_id: secret("answers.access_key_id", &self.answers.access_key_id)?,
            secret_access_key: secret("answers.secret_access_key", &self.answers.secret_access_key)?,
            allow_http: self.answers.allow_http,
        })
    }

    fn default_folder(&self) -> Result<PathBuf, ConfigError> {
        let url = resolve("ledger.url", &self.ledger.url)?;
        let file = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        let file = file.map(|rest| rest.split('?').next().unwrap_or_default());
        Ok(match file {
            Some(file) if !file.is_empty() && file != ":memory:" => PathBuf::from(format!("{file}.answers")),
            _ => PathBuf::from(FOLDER),
        })
    }
}
