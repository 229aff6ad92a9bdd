//! What is said of the RPC endpoints of one network, whatever chain they serve. Values only: whom to
//! ask, and when, is `quittance-rpc`'s matter.

/// What is known of an endpoint's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndpointState {
    /// It was not looked at yet: asked like a healthy one.
    Unknown = 0,
    /// Its head moves with the others.
    Healthy = 1,
    /// Its head lies behind.
    Behind = 2,
    /// It did not say where its head is.
    Silent = 3,
    /// Its head lies in the future, and another endpoint's does not.
    Ahead = 4,
    /// It asked to be left alone for a while (HTTP 429, or 503 with `Retry-After`).
    Paused = 5,
}

impl EndpointState {
    /// For metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Behind => "behind",
            Self::Silent => "silent",
            Self::Ahead => "ahead",
            Self::Paused => "paused",
        }
    }

    /// Whether it may be asked before the others.
    pub fn serves(self) -> bool {
        matches!(self, Self::Unknown | Self::Healthy)
    }
}

/// How one method of one endpoint has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodCount {
    /// JSON-RPC method, or what a look was for.
    pub method: String,
    /// Answers.
    pub answered: u64,
    /// Failures that are the endpoint's: no answer, a refusal, an answer of another shape.
    pub failed: u64,
    /// Failures since the last answer.
    pub failed_in_a_row: u64,
    /// The words of the last failure.
    pub last_failure: String,
}

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
