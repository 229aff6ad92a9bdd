use serde_json::json;

use super::*;

fn error(code: i64, message: &str, data: Value) -> NodeError {
    let data = Some(data).filter(|data| !data.is_null());
    NodeError { code: Some(code), message: message.to_owned(), data }
}

fn millis(said: Option<Duration>) -> Option<u128> {
    said.map(|said| said.as_millis())
}

/// What providers answer who were asked too much, from their documentation and public answers.
const WITHOUT_A_TIME: [(&str, i64, &str); 17] = [
    ("Infura, a day", -32005, "daily request count exceeded, request rate limited"),
    ("Infura", -32005, "project ID request rate exceeded"),
    (
        "Alchemy",
        429,
        "Your app has exceeded its compute units per second capacity. If you have retries enabled, …",
    ),
    ("Alchemy, a month", 429, "Monthly capacity limit exceeded."),
    ("Alchemy, another code", -32000, "exceeded its compute units per second capacity"),
    (
        "QuickNode",
        -32007,
        "25/second request limit reached - reduce calls per second or upgrade your account",
    ),
    ("QuickNode, a day", -32003, "daily request limit reached - upgrade your account"),
    ("QuickNode, credits", -32012, "credits limited to 6000/sec"),
    (
        "QuickNode, HTTP",
        429,
        "The requests per second (RPS) of your requests are higher than your plan allows.",
    ),
    ("dRPC", 15, "Too many request, try again later"),
    ("Base's public endpoint", -32016, "over rate limit"),
    ("BNB Chain's", -32005, "method eth_call in batch triggered rate limit"),
    ("Solana's public endpoint", 429, "Too many requests for a specific RPC call"),
    ("Helius", -32429, "rate limited"),
    ("Helius, other words", -32429, "max usage reached"),
    ("a gateway with heavy methods", -32005, "Rate limit: 1/min for eth_getLogs"),
    ("a gateway with quotas", -32005, "compute unit quota exceeded"),
];

/// The same with the time after which they want to be asked again, in milliseconds.
fn with_a_time() -> Vec<(&'static str, i64, &'static str, Value, u128)> {
    let infura =
        json!({"see": "https://x", "current_rps": 13.333, "allowed_rps": 10.0, "backoff_seconds": 30.0});
    let nested = json!({"rate": {"allowed_rps": 50, "backoff_seconds": 30, "current_rps": 80.86}, "see": ""});
    let (trace, exhausted) =
        (json!({"trace_id": "4b1f"}), "Too many requests, reason: call rate limit exhausted");
    let ankr = |seconds: &str| format!("{exhausted}, retry in {seconds}").leak();
    let chainstack = "You've exceeded the RPS limit available on the current plan.";
    vec![
        ("Infura", -32005, "project ID request rate exceeded", infura, 30_000),
        ("Infura, nested", -32005, "project ID request rate exceeded", nested, 30_000),
        ("Chainstack", -32005, chainstack, json!({"try_again_in": "8.519442ms"}), 8),
        ("Ankr", -32090, ankr("10s"), trace.clone(), 10_000),
        ("Ankr, longer", -32090, ankr("10m0s"), trace, 600_000),
        ("a gateway", -32029, "Rate limit exceeded", json!({"retry_after_seconds": 7}), 7_000),
        ("eRPC", -32005, "Too many requests", json!({"retryAfter": "2s"}), 2_000),
    ]
}

#[test]
fn every_providers_limit_is_heard_with_its_time() {
    for (provider, code, words) in WITHOUT_A_TIME {
        let error = error(code, words, Value::Null);
        assert!(is_limit(&error), "{provider}: {words}");
        assert_eq!(said_for(&error), None, "{provider}");
    }
    for (provider, code, words, data, ms) in with_a_time() {
        let error = error(code, words, data);
        assert!(is_limit(&error), "{provider}: {words}");
        assert_eq!(millis(said_for(&error)), Some(ms), "{provider}");
    }
    let bare = NodeError { code: None, message: "API rate limit exceeded".to_owned(), data: None };
    assert!(is_limit(&bare), "a gateway that leaves the code out");
}

/// What is about the size of a question, or about the node, and must be asked again in another way or
/// elsewhere, and not later. With the codes that mean a limit at another provider.
#[test]
fn what_is_no_limit_of_the_rate_silences_nobody() {
    for (code, words) in [
        // Ranges of logs.
        (-32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range."),
        (-32602, "eth_getLogs is limited to a 10,000 range"),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
        (-32005, "block range is limited to 50"),
        (-32005, "limit exceeded"),
        (-32005, "Limit exceeded: too many results, 100 requests per second are free"),
        (-32000, "Block range limit exceeded."),
        (-32000, "exceed maximum block range: 5000"),
        (-32600, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
        (-32000, "query exceeds max results 20000, retry with the range 1-2"),
        (35, "ranges over 10000 blocks are not supported on freetier"),
        (
            -32701,
            "Please specify an address in your request or, to remove restrictions, order a dedicated node",
        ),
        (-32062, "Block range is too large"),
        (-32000, "query timeout exceeded"),
        // Nodes of Solana, with the codes that mean a limit on an EVM chain.
        (-32005, "Node is behind by 42 slots"),
        (-32005, "Node is unhealthy"),
        (-32007, "Slot 1042 was skipped, or missing due to ledger jump to recent snapshot"),
        (-32003, "Transaction signature verification failure"),
        (-32011, "Transaction history is not available from this node"),
        (-32016, "Minimum context slot has not been reached"),
        (-32015, "Transaction version (1) is not supported by the requesting client"),
        (-32002, "Transaction simulation failed: Error processing Instruction 2: exceeded CUs meter"),
        // Nodes of EVM chains.
        (-32000, "nonce too low"),
        (-32000, "tx fee (1.5 ether) exceeds the configured cap (1.0 ether)"),
        (-32000, "exceeds block gas limit"),
        (-32000, "txpool is full"),
        (-32601, "the method eth_feeHistory does not exist/is not available"),
        (-32603, "Internal error"),
        // A plan or a key: later it says the same.
        (-32600, "this method is not in your plan"),
        (-32055, "No nodes available"),
    ] {
        assert!(!is_limit(&error(code, words, Value::Null)), "{code} {words}");
    }
}

/// Anybody deploys a contract whose words those of a provider are, and makes us call it.
#[test]
fn a_contracts_own_words_silence_no_endpoint() {
    for error in [
        error(3, "execution reverted: rate limit exceeded", json!("0x08c379a0")),
        error(3, "too many requests", Value::Null),
        error(-32000, "execution reverted: too many requests, retry in 30s", Value::Null),
        error(-32015, "VM execution error.", json!("Reverted 0x08c379a0")),
        error(-32000, "rate limit", json!("0x08c379a0")),
        error(429, "execution reverted", json!("0x")),
        error(-32002, "Transaction simulation failed: custom program error: rate limit", Value::Null),
    ] {
        assert!(!is_limit(&error), "{error}");
    }
}

#[test]
fn times_are_read_in_every_unit_and_never_guessed() {
    for (text, nanos) in [
        ("10", Some(10_000_000_000)),
        ("2.5s", Some(2_500_000_000)),
        ("1h2m3s", Some(3_723_000_000_000)),
        ("8.519442ms", Some(8_519_442)),
        (".5s", Some(500_000_000)),
        ("30.0", Some(30_000_000_000)),
        ("1µs", Some(1_000)),
        ("18446744073709551615h", Some(u64::MAX)),
        ("", None),
        (".", None),
        ("soon", None),
        ("-5", None),
        ("1d", None),
        ("1.2.3s", None),
        ("99999999999999999999", None),
        ("1e3", None),
    ] {
        assert_eq!(duration(text).map(|time| time.as_nanos()), nanos.map(u128::from), "{text}");
    }
    let said = |words: &str| millis(said_for(&error(429, words, Value::Null)));
    assert_eq!(said("Rate limited. Try again in 3 seconds"), Some(3_000));
    assert_eq!(said("rate limited, retry after 1.5s."), Some(1_500));
    assert_eq!(said("rate limited, retry in a moment"), None);
    assert_eq!(millis(said_for(&error(429, "slow", json!({"retry_after": -1})))), None);
    assert_eq!(millis(said_for(&error(429, "slow", json!({"retry_after": null})))), None);
    assert_eq!(millis(said_for(&error(429, "slow", json!("5s")))), None);
}
