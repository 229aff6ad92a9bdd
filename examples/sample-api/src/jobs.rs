//! Generation jobs: what `GET /v1/generation-requests/{request_id}` shows.
//!
//! They live in memory, within two limits; the oldest finished ones go first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// Most jobs kept, finished or not.
pub const JOBS_MAX: usize = 1_024;
/// Most bytes of finished outputs kept.
pub const JOBS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One made medium.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// The item's own id from the request, or its place (`item-0`).
    pub id: String,
    /// `image` or `video`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Public model name.
    pub model: String,
    /// Always `completed`; a job with an item that failed fails as a whole.
    pub status: &'static str,
    /// `png` or `gif`.
    pub output_format: &'static str,
    /// Media type of `url`.
    pub mime_type: &'static str,
    /// The medium as a data URL.
    pub url: String,
    /// Seconds of film.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Taken, not begun.
    Accepted,
    /// Being made.
    Processing,
    /// Made.
    Completed(Vec<Output>),
    /// Will never be made.
    Failed,
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Processing => "processing",
            Self::Completed(_) => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub const fn finished(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Failed)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Completed(outputs) => outputs.iter().map(|o| o.url.len()).sum(),
            _ => 0,
        }
    }
}

/// What never changes about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFacts {
    /// The unguessable id; whoever knows it may read the job.
    pub request_id: String,
    /// The caller's own label.
    pub client_request_id: Option<String>,
    /// `x402` or `credits`.
    pub billing_source: &'static str,
    /// Unix seconds.
    pub created_at: u64,
}

/// A job as it can be shown.
#[derive(Clone, Debug)]
pub struct Job {
    /// What never changes.
    pub facts: Arc<JobFacts>,
    state: watch::Receiver<State>,
}

impl Job {
    /// Waits until the job is finished. The caller sets the time limit.
    pub async fn finished(&mut self) {
        // An error means that the ticket is gone, which leaves `Failed` behind.
        let _ = self.state.wait_for(State::finished).await;
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The job as the API shows it.
    pub fn json(&self) -> serde_json::Value {
        let state = self.state();
        let mut value = serde_json::json!({
            "request_id": self.facts.request_id,
            "client_request_id": self.facts.client_request_id,
            "status": state.name(),
            "created_at": self.facts.created_at,
            "billing_source": self.facts.billing_source,
            "outputs": [],
        });
        match state {
            State::Completed(outputs) => value["outputs"] = serde_json::json!(outputs),
            State::Failed => {
                value["error"] =
                    serde_json::json!({ "code": "generation_failed", "message": "nothing was made" });
            }
            State::Accepted | State::Processing => {}
        }
        value
    }
}

/// What came of asking for a job.
pub enum Started {
    /// It is new: whoever holds the ticket makes it.
    New(Ticket, Job),
    /// It is there already, from an earlier run of the same payment.
    Known(Job),
    /// Too many unfinished jobs.
    Full,
}

/// The right and the duty to finish one job; dropped, the job has failed.
pub struct Ticket {
    jobs: Jobs,
    request_id: String,
    done: bool,
}

impl Ticket {
    /// Work begins.
    pub fn begin(&self) {
        self.jobs.set(&self.request_id, State::Processing);
    }

    /// The outputs are there.
    pub fn complete(mut self, outputs: Vec<Output>) {
        self.done = true;
        self.jobs.set(&self.request_id, State::Completed(outputs));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.done {
            self.jobs.set(&self.request_id, State::Failed);
        }
    }
}

/// The jobs of this process; clones share them.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Mutex<Inner>>,
    jobs_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<String, Entry>,
    /// Finished jobs, the oldest first.
    finished: VecDeque<String>,
    bytes: usize,
}

struct Entry {
    facts: Arc<JobFacts>,
    state: watch::Sender<State>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self::with_limits(JOBS_MAX, JOBS_BYTES_MAX)
    }
}

impl Jobs {
    /// A store of at most `jobs_max` jobs whose outputs have at most `bytes_max` bytes.
    pub fn with_limits(jobs_max: usize, bytes_max: usize) -> Self {
        Self { inner: Arc::default(), jobs_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the job `facts.request_id`, or finds it: the second run of one
    /// payment sees the first one's work. A failed job is opened anew.
    pub fn start(&self, facts: JobFacts) -> Started {
        let mut inner = self.lock();
        let request_id = facts.request_id.clone();
        if let Some(entry) = inner.jobs.get(&request_id) {
            if *entry.state.borrow() != State::Failed {
                return Started::Known(entry.job());
            }
            inner.remove(&request_id);
        }
        while inner.jobs.len() >= self.jobs_max {
            if !inner.drop_oldest() {
                return Started::Full;
            }
        }
        let entry = Entry { facts: Arc::new(facts), state: watch::Sender::new(State::Accepted) };
        let job = entry.job();
        inner.jobs.insert(request_id.clone(), entry);
        Started::New(Ticket { jobs: self.clone(), request_id, done: false }, job)
    }

    /// The job with this id, while it is kept.
    pub fn get(&self, request_id: &str) -> Option<Job> {
        self.lock().jobs.get(request_id).map(Entry::job)
    }

    /// Number of jobs kept and bytes of their outputs.
    pub fn kept(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.jobs.len(), inner.bytes)
    }

    fn set(&self, request_id: &str, state: State) {
        let mut inner = self.lock();
        let (finished, bytes) = (state.finished(), state.bytes());
        let Some(entry) = inner.jobs.get(request_id) else { return };
        entry.state.send_replace(state);
        if finished {
            inner.bytes = inner.bytes.saturating_add(bytes);
            inner.finished.push_back(request_id.to_owned());
            // The newest stays even when it alone is over the limit: its buyer is waiting.
            while inner.bytes > self.bytes_max && inner.finished.len() > 1 && inner.drop_oldest() {}
        }
    }
}

impl Inner {
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.finished.front().cloned() else { return false };
        self.remove(&oldest);
        true
    }

    fn remove(&mut self, request_id: &str) {
        if let Some(entry) = self.jobs.remove(request_id) {
            self.bytes = self.bytes.saturating_sub(entry.state.borrow().bytes());
        }
        self.finished.retain(|id| id != request_id);
    }
}

impl Entry {
    fn job(&self) -> Job {
        Job { facts: self.facts.clone(), state: self.state.subscribe() }
    }
}

#[cfg(test)]
mod tests;
