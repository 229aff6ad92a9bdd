//! The page that a person sees.

use std::sync::Arc;

use super::reply::Reply;
use super::{Answer, Ask, Runs, call, counting, saying};
use crate::testing::{Double, gate, gate_of};

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn shown(ask: Ask) -> Answer {
    call(&saying(gate(&Arc::default()), || Reply::ok().body("the host's own")), ask).await
}

fn page(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_browser_sees_what_a_path_costs_and_which_method_buys_it() {
    let answer = shown(Ask::get("/gen").header(BROWSER)).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let page = page(&answer);
    for text in ["POST", "eip155:8453", "0.012000 USDC", "https://api.test/gen", "Makes things"] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(!page.contains("{rows}") && !page.contains("{body}"), "{page}");
}

#[tokio::test]
async fn nothing_else_is_answered_with_a_page() {
    let json = [Ask::get("/gen"), Ask::get("/gen").header(("accept", "application/json"))];
    for ask in json {
        assert_eq!(shown(ask).await.status, 404);
    }
    for ask in [Ask::get("/nothing"), Ask::new("HEAD", "/gen"), Ask::new("PUT", "/gen")] {
        assert_eq!(shown(ask.header(BROWSER)).await.status, 404);
    }
    let post = shown(Ask::post("/gen").header(BROWSER).body("{}")).await;
    assert_eq!((post.status, post.header("content-type")), (402, Some("application/json")));
    assert_eq!(&shown(Ask::get("/free").header(BROWSER)).await.body[..], b"the host's own");
}

/// Whoever could put a script into the page could ask the wallet to sign something else.
#[tokio::test]
async fn no_path_and_no_word_of_the_catalogue_becomes_a_script() {
    let answer = shown(Ask::get("/items/%3Cscript%3Ealert(1)%3C").header(BROWSER)).await;
    let page = page(&answer);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;"), "{page}");
    assert_eq!(page.matches("<script").count(), 2, "the page's own");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"));
    for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
        assert_eq!(answer.header(name), Some(value));
    }
}

#[tokio::test]
async fn the_page_runs_nothing_and_stands_when_nothing_can_be_offered() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    double.nothing_to_offer.store(true, std::sync::atomic::Ordering::SeqCst);
    let app = counting(gate_of(&double, Arc::new(crate::testing::TestPricer)), &runs);
    let answer = call(&app, Ask::get("/gen").header(BROWSER)).await;
    assert!(page(&answer).contains("asked for when you pay"));
    assert_eq!(runs.get(), 0);
    assert!(double.log().is_empty());
}
