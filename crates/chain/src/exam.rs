//! What an operator is told of an endpoint before it is relied on.

/// Which chain an endpoint serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The configured one.
    Ours,
    /// Another one, by its id or genesis.
    Another(String),
    /// It does not say: why.
    Silent(String),
}

/// How much depends on a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it nothing can be sold, or what was sold cannot be proven.
    Must,
    /// Without it something is slower, dearer or unknown.
    Useful,
}

/// Whether an endpoint takes a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It does.
    Yes,
    /// It does not: its words.
    No(String),
    /// Its answer does not say.
    Unclear(String),
}

/// One method, and whether one endpoint takes it. Nothing was sent to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodExam {
    /// Its JSON-RPC name, and in which form it was asked.
    pub method: &'static str,
    /// How much depends on it.
    pub need: Need,
    /// What for.
    pub why: &'static str,
    /// What the endpoint answers.
    pub taken: Taken,
}

/// The newest block (or slot) of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadExam {
    /// Its number.
    pub number: u64,
    /// When it was made by its own word, Unix milliseconds.
    pub at_ms: i64,
    /// When we read it, Unix milliseconds.
    pub read_at_ms: i64,
}

/// One endpoint, asked what it is and what it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointExam {
    /// Its host; never the rest of its URL.
    pub host: String,
    /// Which chain it serves.
    pub serves: Serves,
    /// Its newest block, where it told it.
    pub head: Option<HeadExam>,
    /// What it takes; empty where it does not serve the configured chain.
    pub methods: Vec<MethodExam>,
    /// EVM: blocks of logs in one answer, as far as was tried.
    pub log_blocks: Option<u64>,
    /// Solana: whether it knows transactions that are older than its status cache; `None` where
    /// there was none to ask for.
    pub keeps_history: Option<bool>,
    /// Its slowest answer, in milliseconds.
    pub slowest_ms: u64,
}

impl EndpointExam {
    /// One that was not asked anything yet.
    pub fn of(host: &str, serves: Serves) -> Self {
        Self {
            host: host.to_owned(),
            serves,
            head: None,
            methods: Vec::new(),
            log_blocks: None,
            keeps_history: None,
            slowest_ms: 0,
        }
    }
}
