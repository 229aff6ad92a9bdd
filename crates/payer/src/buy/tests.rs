use std::collections::VecDeque;
use std::sync::Mutex;

use quittance_protocol::{
    Amount, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, Secret, decode_header, encode_header, v1,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::Limits;

const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// A server that answers what it was told, in order, and closes each connection.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// An answer; one without a status breaks the connection.
fn answer(status: &str, headers: &[(&str, String)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}\r\n{body}")
}

fn offer(more: Value) -> Value {
    let mut offer = json!({
        "scheme": "exact", "network": "eip155:8453", "asset": USDC, "payTo": format!("0x{}", "22".repeat(20)),
        "amount": "20000", "maxTimeoutSeconds": 60, "extra": { "name": "USD Coin", "version": "2", "own": true },
    });
    offer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    offer
}

fn asks(offer: &Value) -> String {
    let required =
        json!({ "x402Version": 2, "resource": { "url": "https://a.example/x" }, "accepts": [offer] });
    answer("402 Payment Required", &[(PAYMENT_REQUIRED, encode_header(&required).unwrap())], "{}")
}

fn serves() -> String {
    let receipt = encode_header(&json!({ "success": true, "transaction": "0x1" })).unwrap();
    answer("200 OK", &[(PAYMENT_RESPONSE, receipt)], "served")
}

async fn server(answers: Vec<String>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    tokio::spawn(async move {
        let mut answers = VecDeque::from(answers);
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            noted.lock().unwrap().push(String::from_utf8(head).unwrap());
            let next = answers.pop_front().unwrap_or_default();
            stream.write_all(next.as_bytes()).await.unwrap();
        }
    });
    Server { url, seen }
}

impl Server {
    /// What was sent in this header, request by request.
    fn headers(&self, name: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        let of = |head: &String| {
            head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
        };
        seen.iter().map(of).collect()
    }

    fn payments(&self) -> Vec<String> {
        self.headers(PAYMENT_SIGNATURE).into_iter().flatten().collect()
    }

    fn request(&self) -> Request {
        Request::get(&self.url).unwrap()
    }
}

fn payer(limits: Limits) -> Payer {
    let keys = Keys::default().evm(&Secret::new(format!("0x{}", "11".repeat(32)))).unwrap();
    Payer::new(keys, limits).unwrap().with_wait(3).unwrap()
}

fn with_state(limits: Limits) -> (tempfile::TempDir, Payer) {
    let folder = tempfile::tempdir().unwrap();
    let payer = payer(limits).with_state(State::open(folder.path()).unwrap());
    (folder, payer)
}

#[tokio::test]
async fn what_costs_nothing_is_not_paid() {
    let server = server(vec![answer("200 OK", &[], "free")]).await;
    let answer = payer(Limits::default()).buy(&server.request()).await.unwrap();
    assert_eq!((answer.outcome, answer.bill, answer.body), (Outcome::Free, None, b"free".to_vec()));
}

#[tokio::test]
async fn the_whole_offer_is_echoed_and_the_authorization_lives_no_longer_than_the_limit() {
    let asked = offer(json!({ "maxTimeoutSeconds": 604_800 }));
    let server = server(vec![asks(&asked), serves()]).await;
    let answer = payer(Limits::default()).buy(&server.request()).await.unwrap();
    assert_eq!((answer.outcome, answer.body), (Outcome::Paid, b"served".to_vec()));
    let payment: Value = decode_header(&server.payments()[0]).unwrap();
    assert_eq!((&payment["accepted"], &payment["resource"]["url"]), (&asked, &json!("https://a.example/x")));
    let until: u64 = payment["payload"]["authorization"]["validBefore"].as_str().unwrap().parse().unwrap();
    assert!(until <= now() + crate::AUTHORIZATION_SECONDS_MAX, "a week was asked for");
}

#[tokio::test]
async fn version_1_is_paid_in_its_own_words() {
    let asked = json!({ "x402Version": 1, "accepts": [{
        "scheme": "exact", "network": "base", "maxAmountRequired": "20000", "resource": "https://a.example/x",
        "description": "", "mimeType": "", "payTo": format!("0x{}", "22".repeat(20)), "maxTimeoutSeconds": 60,
        "asset": USDC, "extra": { "name": "USD Coin", "version": "2" } }] });
    let receipt =
        encode_header(&json!({ "success": true, "transaction": "0x1", "network": "base" })).unwrap();
    let server = server(vec![
        answer("402 Payment Required", &[], &asked.to_string()),
        answer("200 OK", &[(v1::X_PAYMENT_RESPONSE, receipt)], "served"),
    ])
    .await;
    let answer = payer(Limits::default()).buy(&server.request()).await.unwrap();
    assert_eq!((answer.outcome, answer.receipt.unwrap()["network"].as_str()), (Outcome::Paid, Some("base")));
    let sent = server.headers(v1::X_PAYMENT)[1].clone().unwrap();
    let payment: Value = decode_header(&sent).unwrap();
    assert_eq!((&payment["x402Version"], &payment["network"]), (&json!(1), &json!("base")));
    assert_eq!(payment["payload"]["authorization"]["value"], "20000");
}

/// A gateway's error and a broken connection say nothing about a payment.
#[tokio::test]
async fn the_same_payment_is_sent_until_somebody_knows() {
    let server = server(vec![
        asks(&offer(json!({}))),
        answer("502 Bad Gateway", &[("retry-after", "1".to_owned())], ""),
        String::new(),
        serves(),
    ])
    .await;
    let answer = payer(Limits::default()).with_wait(20).unwrap().buy(&server.request()).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Paid);
    let payments = server.payments();
    assert_eq!(payments.len(), 3);
    assert!(payments.iter().all(|one| *one == payments[0]), "and not another one");
}

/// The defect: whoever gave up after a time-out and called again paid twice.
#[tokio::test]
async fn a_later_call_of_the_same_request_sends_the_open_payment_and_signs_no_other() {
    let server = server(vec![
        asks(&offer(json!({}))),
        answer("503 Service Unavailable", &[("retry-after", "30".to_owned())], ""),
        serves(),
        asks(&offer(json!({}))),
        serves(),
    ])
    .await;
    let (_folder, payer) = with_state(Limits::default());
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Open);
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Paid);
    let payments = server.payments();
    assert_eq!((payments.len(), payments[0] == payments[1]), (2, true));
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Paid);
    assert_ne!(server.payments()[2], payments[0], "what was answered is over: this is another purchase");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_with_the_same_payment() {
    let receipt = encode_header(&json!({ "success": true })).unwrap();
    let broken = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n{PAYMENT_RESPONSE}: {receipt}\r\n\r\nhalf"
    );
    let server = server(vec![asks(&offer(json!({}))), broken, serves()]).await;
    let (_folder, payer) = with_state(Limits::default());
    assert!(matches!(payer.buy(&server.request()).await, Err(PayError::Unknown(_))));
    assert_eq!(payer.buy(&server.request()).await.unwrap().body, b"served");
    let payments = server.payments();
    assert_eq!((payments.len(), payments[0] == payments[1]), (2, true));
}

#[tokio::test]
async fn a_refused_payment_is_over_and_says_why() {
    let required = json!({ "x402Version": 2, "error": "insufficient_funds", "accepts": [offer(json!({}))] });
    let refuses =
        answer("402 Payment Required", &[(PAYMENT_REQUIRED, encode_header(&required).unwrap())], "{}");
    let server = server(vec![asks(&offer(json!({}))), refuses, asks(&offer(json!({}))), serves()]).await;
    let (_folder, payer) = with_state(Limits::default());
    let refused = payer.buy(&server.request()).await.unwrap();
    assert_eq!(refused.outcome, Outcome::Refused(Some("insufficient_funds".to_owned())));
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Paid);
    let payments = server.payments();
    assert_ne!(payments[0], payments[1]);
}

/// The defect: a 402 beside a receipt of a settled payment was called refused, as if nothing was paid.
#[tokio::test]
async fn money_that_moved_is_not_called_refused_whatever_the_status() {
    let receipt = encode_header(&json!({ "success": true, "transaction": "0x1" })).unwrap();
    let required = json!({ "x402Version": 2, "error": "used", "accepts": [offer(json!({}))] });
    for status in ["402 Payment Required", "409 Conflict", "404 Not Found"] {
        let headers =
            [(PAYMENT_RESPONSE, receipt.clone()), (PAYMENT_REQUIRED, encode_header(&required).unwrap())];
        let server = server(vec![asks(&offer(json!({}))), answer(status, &headers, "{}")]).await;
        let (_folder, payer) = with_state(Limits::default());
        let told = payer.buy(&server.request()).await.unwrap();
        assert_eq!(told.outcome, Outcome::Paid, "{status}");
        assert_eq!(told.receipt.unwrap()["transaction"], "0x1");
    }
}

#[tokio::test]
async fn nothing_is_signed_above_a_limit_nor_against_the_hosts_word() {
    let limits = |day| Limits { day, ..Limits::default() };
    let asked: Vec<String> = vec![asks(&offer(json!({}))); 5];
    let server = server(asked).await;
    let request = server.request();
    let cheap = Limits { per_call: Amount::new(19_999), ..Limits::default() };
    assert!(matches!(payer(cheap).buy(&request).await, Err(PayError::Limit(_))));
    let (_folder, by_day) = with_state(limits(Some(Amount::new(19_999))));
    assert!(matches!(by_day.buy(&request).await, Err(PayError::Limit(_))));
    assert!(matches!(payer(limits(Some(Amount::new(1)))).buy(&request).await, Err(PayError::Limit(_))));
    let hosts = Limits { hosts: Some(["api.example".to_owned()].into()), ..Limits::default() };
    assert!(matches!(payer(hosts).buy(&request).await, Err(PayError::Limit(_))));
    let asked = payer(Limits::default()).with_approval(Arc::new(|quote: &Quote| {
        assert_eq!(quote.bill.amount, Amount::new(20_000));
        false
    }));
    assert!(matches!(asked.buy(&request).await, Err(PayError::NotApproved(_))));
    assert!(server.payments().is_empty());
}

#[tokio::test]
async fn a_payment_follows_no_redirect_before_or_after_it_is_signed() {
    let away = |status: &str| answer(status, &[("location", "http://127.0.0.1:9/elsewhere".to_owned())], "");
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let before = server(vec![away(status)]).await;
        let error = payer(Limits::default()).buy(&before.request()).await.unwrap_err();
        assert!(matches!(&error, PayError::Moved { place, .. } if place.ends_with("/elsewhere")), "{error}");
        let after = server(vec![asks(&offer(json!({}))), away(status)]).await;
        let error = payer(Limits::default()).buy(&after.request()).await.unwrap_err();
        assert!(matches!(&error, PayError::Unknown(said) if said.contains("/elsewhere")), "{error}");
    }
}

/// The defect: a receipt beside a redirect was not read, and who heard that the call failed paid again.
#[tokio::test]
async fn a_redirect_beside_a_receipt_is_paid_and_one_without_stays_open() {
    let place = || ("location", "http://127.0.0.1:9/elsewhere".to_owned());
    let receipt = encode_header(&json!({ "success": true, "transaction": "0x1" })).unwrap();
    let refusal = encode_header(&json!({ "success": false })).unwrap();
    let paid = answer("303 See Other", &[place(), (PAYMENT_RESPONSE, receipt)], "");
    let bare = answer("303 See Other", &[place()], "");
    let unclear = answer("303 See Other", &[place(), (PAYMENT_RESPONSE, refusal)], "");
    let server = server(vec![asks(&offer(json!({}))), bare, unclear, paid]).await;
    let (_folder, payer) = with_state(Limits::default());
    for _ in 0..2 {
        assert!(matches!(payer.buy(&server.request()).await, Err(PayError::Unknown(_))));
        assert_eq!(payer.kept().unwrap().len(), 1);
    }
    let told = payer.buy(&server.request()).await.unwrap();
    assert_eq!((told.outcome, told.status), (Outcome::Paid, 303));
    assert_eq!(told.headers["location"], place().1.as_str());
    assert!(payer.kept().unwrap().is_empty());
    let payments = server.payments();
    assert!(payments.len() == 3 && payments.iter().all(|one| *one == payments[0]));
}

/// The defect: two equal calls that began at once were both signed.
#[tokio::test]
async fn two_equal_calls_at_once_sign_one_after_the_other() {
    let server = server(vec![
        asks(&offer(json!({}))),
        asks(&offer(json!({}))),
        answer("503 Service Unavailable", &[("retry-after", "30".to_owned())], ""),
        serves(),
    ])
    .await;
    let (_folder, payer) = with_state(Limits::default());
    let request = server.request();
    let (first, second) = tokio::join!(payer.buy(&request), payer.buy(&request));
    let outcomes = [first.unwrap().outcome, second.unwrap().outcome];
    assert!(outcomes.contains(&Outcome::Open) && outcomes.contains(&Outcome::Paid), "{outcomes:?}");
    let payments = server.payments();
    assert_eq!((payments.len(), payments[0] == payments[1]), (2, true), "what the first left open was sent");
    assert_eq!(payer.signed_today().unwrap().values().next(), Some(&Amount::new(20_000)));
}

/// The defect: an agent that gave up on a call that still ran, and called again, paid twice.
#[tokio::test]
async fn a_call_beside_another_of_the_same_request_waits_for_its_end() {
    let server = server(vec![
        asks(&offer(json!({}))),
        answer("503 Service Unavailable", &[("retry-after", "1".to_owned())], ""),
        serves(),
        asks(&offer(json!({}))),
        serves(),
    ])
    .await;
    let (_folder, payer) = with_state(Limits::default());
    let payer = payer.with_wait(20).unwrap();
    let request = server.request();
    let first = payer.buy(&request);
    let second = async {
        while server.payments().is_empty() {
            tokio::task::yield_now().await;
        }
        payer.buy(&request).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().outcome, second.unwrap().outcome), (Outcome::Paid, Outcome::Paid));
    let payments = server.payments();
    assert_eq!((payments.len(), payments[0] == payments[1]), (3, true), "the second waited for its answer");
    assert_ne!(payments[2], payments[0]);
}

/// The defect: a proxy's 404 for a payment that the server behind it settled ended it, and the
/// next call paid again.
#[tokio::test]
async fn what_is_refused_without_a_receipt_is_not_paid_again_while_it_could_land() {
    let server = server(vec![asks(&offer(json!({}))), answer("404 Not Found", &[], ""), serves()]).await;
    let (_folder, payer) = with_state(Limits::default());
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Refused(None));
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Paid);
    let payments = server.payments();
    assert_eq!((payments.len(), payments[0] == payments[1]), (2, true));
}

#[tokio::test]
async fn a_wait_beyond_all_measure_is_a_day() {
    let server = server(vec![asks(&offer(json!({}))), serves()]).await;
    let payer = payer(Limits::default()).with_wait(u64::MAX).unwrap();
    assert_eq!(payer.buy(&server.request()).await.unwrap().outcome, Outcome::Paid);
}

/// What an agent says of one call only ever lowers what its operator allows.
#[tokio::test]
async fn a_calls_own_highest_price_lowers_the_limit_and_raises_none() {
    let server =
        server(vec![asks(&offer(json!({}))), asks(&offer(json!({}))), asks(&offer(json!({})))]).await;
    let tight = Limits { per_call: Amount::new(19_999), ..Limits::default() };
    for (limits, most, words) in [
        (Limits::default(), 19_999, "above the 0.019999 that this call may cost"),
        (tight, 1_000_000, "above the limit of 0.019999"),
    ] {
        let (_folder, payer) = with_state(limits);
        let error = payer.buy(&server.request().at_most(Amount::new(most))).await.unwrap_err();
        assert!(matches!(&error, PayError::Limit(said) if said.contains(words)), "{error}");
        assert!(payer.kept().unwrap().is_empty() && payer.signed_today().unwrap().is_empty());
    }
    let (_folder, payer) = with_state(Limits::default());
    let request = server.request().at_most(Amount::new(1));
    let Look::Asks(terms) = payer.look(&request).await.unwrap() else { panic!("it is free") };
    assert!(terms.chosen().is_none() && terms.offers[0].why_not.is_some());
    assert!(server.payments().is_empty());
}
