//! Handler runs and the answers that they leave.

use std::fmt;

use quittance_protocol::Amount;

/// A handler's complete answer. `Debug` leaves out headers and body.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty when `truncated`, or when it lies in `object`.
    pub body: Vec<u8>,
    /// Where the body lies instead, when it is too long for the ledger.
    pub object: Option<AnswerObject>,
    /// The body is not kept at all: too long, or the store did not take it.
    pub truncated: bool,
    /// The operator may refund: the answer is a refusal of the handler (4xx), or
    /// reached its client only in part and is not kept.
    pub refundable: bool,
    /// What the work really used, where the host says so.
    pub usage: Option<Usage>,
}

/// A body in a file or object store. `Debug` leaves out the key.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerObject {
    /// Random, 32 hexadecimal digits.
    pub name: String,
    /// The key of this answer and of no other; whoever deletes it deletes the answer.
    pub key: [u8; 32],
    /// Length of the body.
    pub bytes: u64,
}

impl fmt::Debug for AnswerObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerObject")
            .field("name", &self.name)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// An object that no kept answer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftoverObject {
    /// Its name.
    pub name: String,
    /// Its run ended without it, and its key is still here: nobody may be
    /// reading it when it is dropped.
    pub has_key: bool,
}

/// What prepaid work really used, beside what was prepaid for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// What was sold, e.g. a model's public name.
    pub product: String,
    /// Prompt tokens that the price covers.
    pub prompt_tokens_reserved: u64,
    /// Prompt tokens that were read.
    pub prompt_tokens: u64,
    /// Completion tokens that the price covers.
    pub completion_tokens_reserved: u64,
    /// Completion tokens that were made.
    pub completion_tokens: u64,
    /// What was prepaid: the service price, above zero.
    pub reserved: Amount,
    /// What the real usage costs by the same prices.
    pub metered: Amount,
    /// What of the reserve is kept. All of it under `exact`; this is the place
    /// of a scheme that charges by use (`upto`).
    pub charged: Amount,
}

impl StoredAnswer {
    /// Length of what is kept, wherever it lies.
    pub fn body_bytes(&self) -> u64 {
        self.object.as_ref().map_or(self.body.len() as u64, |object| object.bytes)
    }
}

impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body_bytes())
            .field("object", &self.object)
            .field("truncated", &self.truncated)
            .field("refundable", &self.refundable)
            .finish_non_exhaustive()
    }
}

/// What is left of an answer when its body is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMeta {
    /// HTTP status.
    pub status: u16,
    /// Bytes of the body as the handler sent it.
    pub body_bytes: u64,
    /// The body was longer than is kept.
    pub truncated: bool,
    /// The operator may refund.
    pub refundable: bool,
    /// Whether `answer` still returns it; `prune` drops old ones.
    pub kept: bool,
}

/// What `start_delivery` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryStart {
    /// The caller runs the handler, and nobody else does.
    Run {
        /// Number of this run, from 1; `finish_delivery` and `credit_delivery` take it.
        run: u32,
    },
    /// Somebody else runs it.
    Running {
        /// Which instance.
        owner: String,
        /// Since when.
        since_ms: i64,
    },
    /// It is done.
    Delivered(AnswerMeta),
    /// Another ledger landed the payment: nothing runs for it.
    Owed,
    /// It failed, or ended its process, as often as it may.
    Exhausted {
        /// Runs so far that ended by themselves.
        failed: u32,
        /// Runs so far that ended with their process.
        crashed: u32,
        /// Nobody was told so before.
        first: bool,
    },
}

/// How many runs one payment may buy that leave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// That end by themselves.
    pub failed_max: u32,
    /// That end with their process: a handler that kills it would else run for
    /// ever, once for each time its payment is shown.
    pub crashed_max: u32,
}

/// How a run ended that left no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The handler failed: the run counts.
    Failed,
    /// This program ended it (a stop, a lost lease): it does not.
    Interrupted,
    /// It ended with its process, and may have killed it: it counts apart.
    Crashed,
}
