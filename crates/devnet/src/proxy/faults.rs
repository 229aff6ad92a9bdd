//! Which calls fail, how, and how often; and the counting of all calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::call::Call;
use super::forgetting::Forgetting;
use super::frozen::Frozen;
use super::profile::Provider;

/// More distinct method names than this are counted together, as `other`.
pub(crate) const METHODS_MAX: usize = 256;
/// More faults than this may not wait at once.
pub(crate) const FAULTS_MAX: usize = 256;
const DELAY_MS_MAX: u64 = 600_000;
/// Methods whose first parameter is a signed transaction.
const BROADCASTS: [&str; 3] = ["eth_sendRawTransaction", "eth_sendRawTransactionSync", "sendTransaction"];
/// More distinct transactions than this are not told apart.
const SENT_MAX: usize = 4_096;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// The upstream never sees the call; the caller's connection is cut.
    DropRequest,
    /// The upstream executes the call; the caller's connection is cut instead of the answer.
    DropResponse,
    /// The upstream never sees the call; the caller gets this JSON-RPC error.
    Error {
        /// The JSON-RPC error object.
        error: Value,
    },
    /// The upstream executes the call; the caller gets this JSON-RPC error instead of its answer.
    ErrorAfter {
        /// The JSON-RPC error object.
        error: Value,
    },
    /// The upstream never sees the HTTP request; the caller gets this HTTP status, without a body.
    HttpStatus {
        /// For example 429 or 502.
        status: u16,
    },
    /// The call goes through this much later.
    DelayMs {
        /// Milliseconds, at most 600,000.
        ms: u64,
    },
}

/// A fault that waits for its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The JSON-RPC method; `*` means every method.
    pub method: String,
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
    /// How many calls it meets.
    #[serde(default = "one")]
    pub times: u32,
    /// How many matching calls pass unharmed first.
    #[serde(default)]
    pub skip: u32,
}

fn one() -> u32 {
    1
}

impl Fault {
    fn matches(&self, method: &str) -> bool {
        self.method == "*" || self.method == method
    }

    fn check(&self) -> Result<(), &'static str> {
        match self.action {
            Action::DelayMs { ms } if ms > DELAY_MS_MAX => Err("ms is at most 600000"),
            Action::HttpStatus { status } if !(100..=599).contains(&status) => Err("status is 100 to 599"),
            _ if self.method.is_empty() => Err("method is empty; `*` means every method"),
            _ => Ok(()),
        }
    }
}

/// What went through since the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// HTTP requests with JSON-RPC in them.
    pub http_requests: u64,
    /// JSON-RPC calls; a batch holds several.
    pub calls: u64,
    /// Calls by method.
    pub methods: BTreeMap<String, u64>,
    /// Calls that met a fault, by method.
    pub faults: BTreeMap<String, u64>,
    /// Calls that the provider's limits refused, by method.
    pub refused: BTreeMap<String, u64>,
}

/// Counters and waiting faults.
#[derive(Debug, Default)]
pub struct State {
    counts: Counts,
    waiting: Vec<Fault>,
    /// Broadcasts of each signed transaction, whatever became of them.
    sent: BTreeMap<String, u64>,
    /// What it does not remember, and the newest slot that it has heard of.
    pub(crate) forgetting: Option<Forgetting>,
    pub(crate) newest_slot: u64,
    /// Where it stands still, if it does.
    pub(crate) frozen: Option<Frozen>,
    /// Whose limits it has.
    pub(crate) provider: Option<Provider>,
}

impl State {
    /// Counts one HTTP request and says, call by call, what happens to it.
    pub fn arrive<'c>(&mut self, calls: impl IntoIterator<Item = &'c Call<'c>>) -> Vec<Option<Action>> {
        self.counts.http_requests = self.counts.http_requests.saturating_add(1);
        let mut actions = Vec::new();
        for call in calls {
            if let Some(transaction) = call.broadcast() {
                self.sent_one(transaction);
            }
            actions.push(self.arrive_one(&call.method));
        }
        actions
    }

    fn sent_one(&mut self, transaction: String) {
        let room = self.sent.len() < SENT_MAX;
        if let Some(count) = self.sent.get_mut(&transaction) {
            *count = count.saturating_add(1);
        } else if room {
            self.sent.insert(transaction, 1);
        }
    }

    fn arrive_one(&mut self, method: &str) -> Option<Action> {
        self.counts.calls = self.counts.calls.saturating_add(1);
        bump(&mut self.counts.methods, method);
        let found = self.waiting.iter().position(|fault| fault.matches(method))?;
        let fault = self.waiting.get_mut(found)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let action = fault.action.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            self.waiting.remove(found);
        }
        bump(&mut self.counts.faults, method);
        Some(action)
    }

    /// A call that came is refused by the provider's limits.
    pub(crate) fn refused_one(&mut self, method: &str) {
        bump(&mut self.counts.refused, method);
    }

    /// The counters.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Signed transactions that were to be broadcast, and how often each.
    pub fn sent(&self) -> &BTreeMap<String, u64> {
        &self.sent
    }

    /// The faults that still wait, first come, first served.
    pub fn waiting(&self) -> &[Fault] {
        &self.waiting
    }

    /// Adds faults.
    pub fn add(&mut self, faults: Vec<Fault>) -> Result<(), &'static str> {
        for fault in &faults {
            fault.check()?;
        }
        if self.waiting.len().saturating_add(faults.len()) > FAULTS_MAX {
            return Err("too many faults wait");
        }
        self.waiting.extend(faults.into_iter().filter(|fault| fault.times > 0));
        Ok(())
    }

    /// Forgets the waiting faults.
    pub fn clear_faults(&mut self) {
        self.waiting.clear();
    }

    /// Forgets everything but what kind of node it is.
    pub fn reset(&mut self) {
        let Self { forgetting, newest_slot, .. } = *self;
        let (frozen, provider) = (self.frozen.take(), self.provider.take());
        *self = Self { forgetting, newest_slot, frozen, provider, ..Self::default() };
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, method: &str) {
    if let Some(count) = counts.get_mut(method) {
        *count = count.saturating_add(1);
        return;
    }
    let method = if counts.len() < METHODS_MAX { method } else { "other" };
    let count = counts.entry(method.to_owned()).or_default();
    *count = count.saturating_add(1);
}

impl Call<'_> {
    /// The signed transaction that this call broadcasts.
    fn broadcast(&self) -> Option<String> {
        if !BROADCASTS.contains(&self.method.as_ref()) {
            return None;
        }
        let params: Vec<Value> = serde_json::from_str(self.params?.get()).ok()?;
        params.first()?.as_str().map(str::to_owned)
    }

    /// The answer to this call that carries `error`.
    pub fn refuse(&self, error: &Value) -> String {
        let id = self.id.map_or("null", RawValue::get);
        format!(r#"{{"jsonrpc":"2.0","error":{error},"id":{id}}}"#)
    }
}
