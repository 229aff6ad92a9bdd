//! What is known of the RPC endpoints of one network, whatever chain they serve.
//! Pure: who asks them, and when, is the chain crates' matter.
//!
//! - [`Fleet`]: whose head stands still, so that nobody asks such an endpoint
//!   while a healthy one can answer;
//! - [`Tally`]: which methods of one endpoint fail.

mod heads;
mod tally;

pub use heads::{EndpointState, Fleet, SeenHead};
pub use tally::{MethodCount, Tally};

/// One endpoint at the last look, for metrics and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointReport {
    /// Position in `rpc_urls`.
    pub endpoint: usize,
    /// Its host; never the rest of the URL.
    pub host: String,
    /// Whether it is asked.
    pub state: EndpointState,
    /// Newest block or slot, if it said one.
    pub head: Option<u64>,
    /// How old that was by our clock, in milliseconds.
    pub head_age_ms: Option<i64>,
    /// Every method that was ever asked of it.
    pub methods: Vec<MethodCount>,
}
