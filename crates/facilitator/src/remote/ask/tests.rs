use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What a question's answer is on the wire; an empty one is a connection that ends.
fn said(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Answers one question after the other, the last one for ever; keeps what was asked.
async fn facilitator(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&asked);
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            // The body is one object: it ends with the question.
            while !bytes.ends_with(b"}") {
                let mut chunk = [0; 4_096];
                match stream.read(&mut chunk).await.unwrap() {
                    0 => break,
                    read => bytes.extend_from_slice(&chunk[..read]),
                }
            }
            keep.lock().unwrap().push(String::from_utf8(bytes).unwrap());
            let answer = answers.get(turn).or(answers.last()).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

fn remote(url: String, timeout_ms: u64) -> Arc<Remote> {
    let config = crate::config::FacilitatorConfig { url, ..Default::default() };
    let remote = Arc::into_inner(Remote::new(&config).unwrap()).unwrap();
    let timeout = Duration::from_millis(timeout_ms);
    Arc::new(Remote { timeout, pause_max: Duration::from_millis(5), ..remote })
}

fn question() -> Question {
    let terms = PaymentRequirements {
        scheme: "exact".to_owned(),
        network: "eip155:8453".to_owned(),
        asset: "0xaa".to_owned(),
        pay_to: "0xbb".to_owned(),
        amount: "5".to_owned(),
        max_amount_required: None,
        max_timeout_seconds: 120,
        extra: Map::new(),
        other: Map::new(),
    };
    let (id, network) = (PaymentId::from_random([7; 16]), terms.network.parse().unwrap());
    Question::of(id, network, terms, serde_json::json!({"signature": "0x01"})).unwrap()
}

async fn named(url: String, timeout_ms: u64, resumed: bool) -> Named {
    let metrics = Arc::new(Metrics::new().unwrap());
    let mut asking = Asking::new(&remote(url, timeout_ms), &metrics, question(), resumed);
    asking.begin();
    asking.begin();
    asking.heard().await.unwrap()
}

const SETTLED: &str = r#"{"success":true,"transaction":"0xab","network":"eip155:8453"}"#;
const DUPLICATE: &str =
    r#"{"success":false,"errorReason":"duplicate_settlement","transaction":"0xab","network":""}"#;

#[tokio::test]
async fn the_same_bytes_go_out_until_a_transaction_is_named() {
    let refused = r#"{"success":false,"errorReason":"insufficient_funds","transaction":""}"#;
    let pending = r#"{"success":false,"errorReason":"settlement_pending","transaction":""}"#;
    let long = format!(r#"{{"success":true,"transaction":"0xab","x":"{}"}}"#, "x".repeat(70_000));
    let answers = [
        String::new(),
        said("500 Oh", SETTLED),
        said("200 OK", "garbage"),
        said("200 OK", &long),
        said("307 Elsewhere\r\nLocation: http://127.0.0.1:1/settle", SETTLED),
        said("200 OK", r#"{"success":true,"transaction":""}"#),
        said("200 OK", refused),
        said("200 OK", pending),
        said("200 OK", SETTLED),
    ];
    let (url, asked) = facilitator(answers.to_vec()).await;
    let found = named(url, 5_000, false).await;
    assert_eq!(found, Named { transaction: "0xab".to_owned(), to_others: false });
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), answers.len());
    assert!(asked[0].starts_with("POST /settle "), "{}", asked[0]);
    assert!(
        asked[0].contains(&format!("idempotency-key: {}", PaymentId::from_random([7; 16]))),
        "{}",
        asked[0]
    );
    let body = |text: &String| text.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert!(asked.iter().all(|one| body(one) == body(&asked[0])), "the same payment");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_waited_for_no_longer_than_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = remote(url, 20);
    let answer = silent.settle(&question()).await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}

/// Only the first answer to the first question says that somebody else was told: a lost answer of
/// our own looks the same later.
#[tokio::test]
async fn a_duplicate_is_another_s_only_where_nobody_of_ours_has_asked() {
    for (answers, resumed, to_others) in [
        (vec![said("200 OK", DUPLICATE)], false, true),
        (vec![said("200 OK", DUPLICATE)], true, false),
        (vec![String::new(), said("200 OK", DUPLICATE)], false, false),
    ] {
        let (url, _) = facilitator(answers).await;
        assert_eq!(named(url, 5_000, resumed).await.to_others, to_others);
    }
}
