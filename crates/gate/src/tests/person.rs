//! The page that a person sees who opens a paid URL.

use std::sync::Arc;

use quittance_protocol::Amount;
use quittance_quote::{EndpointInfo, Price, PriceRequest, Pricer, Pricing, Refusal, Route};

use super::reply::Reply;
use super::{Answer, App, Ask, Runs, call, counting, paid, saying};
use crate::testing::{Double, gate_of, payment, signed};

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

/// Sells `GET /look` and `/look/{id}`, and `POST /make`, in words that want to be markup.
struct Shop;

impl Pricer for Shop {
    fn route(&self, method: &str, path: &str) -> Route {
        match (method, path) {
            ("GET", "/look") => Route::Paid(0),
            ("GET", path) if path.starts_with("/look/") => Route::Paid(0),
            ("POST", "/make") => Route::Paid(1),
            ("DELETE", "/old") => Route::Paid(2),
            ("GET", "/free") => Route::Free,
            _ => Route::Unknown,
        }
    }

    fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal> {
        // What is asked for has its own price, not the example's.
        let service = Amount::new(if request.query.contains("large") { 30_000 } else { 10_000 });
        Ok(Price { service, lines: Vec::new(), reserve: None, reads_json: false })
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        let endpoint = |method: &str, path: &str| EndpointInfo {
            method: method.to_owned(),
            path: path.to_owned(),
            pricing: Pricing::Paid,
            summary: "0.01 \"USDC\" <b>each</b>".to_owned(),
            description: "</main><script>alert('catalogue')</script> {js} {sale}".to_owned(),
            mime_type: "application/json".to_owned(),
            example: (method == "POST")
                .then(|| r#"{"prompt": "</textarea><script>it's</script>"}"#.to_owned()),
            body_schema: None,
            query: Vec::new(),
            service_min: None,
        };
        vec![endpoint("GET", "/look"), endpoint("POST", "/make"), endpoint("DELETE", "/old")]
    }
}

fn shop(double: &Arc<Double>) -> App {
    saying(gate_of(double, Arc::new(Shop)).public_url("https://api.test"), || {
        Reply::ok().body("the host's own")
    })
}

async fn ask(ask: Ask) -> Answer {
    call(&shop(&Arc::default()), ask).await
}

fn is_page(answer: &Answer) -> bool {
    answer.header("content-type") == Some("text/html; charset=utf-8")
}

fn page(answer: &Answer) -> &str {
    assert!(is_page(answer), "{:?}", answer.headers);
    std::str::from_utf8(&answer.body).unwrap()
}

#[tokio::test]
async fn a_browser_gets_the_402_with_a_page_beside_the_same_offer() {
    let answer = ask(Ask::get("/look?size=large").header(BROWSER)).await;
    assert_eq!(answer.status, 402);
    let program = ask(Ask::get("/look?size=large")).await;
    assert_eq!(answer.header("payment-required"), program.header("payment-required"));
    let page = page(&answer);
    for text in ["Base", "eip155:8453", "0.032000 USDC", "0.002000 USDC", "https://api.test/look?size=large"]
    {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(!page.contains("<textarea"), "what is got has no body");
    assert!(!["{rows}", "{body}", "{title}", "{command}"].iter().any(|part| page.contains(part)), "{page}");
}

#[tokio::test]
async fn a_browser_that_opens_what_is_posted_sees_its_example_and_what_that_costs() {
    let answer = ask(Ask::get("/make").header(BROWSER)).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let page = page(&answer);
    for text in ["<textarea", "0.012000 USDC", "What the request below costs", "\"takesBody\":true"] {
        assert!(page.contains(text), "{text}\n{page}");
    }
}

/// Programs, robots, scripts of other pages and whoever pays hear what they always did, byte by byte.
/// The defect: the command that is shown for a DELETE sent a POST.
#[tokio::test]
async fn the_command_sends_the_method_that_is_sold() {
    for (path, words) in [
        ("/look", "/look&#39; --evm-key"),
        ("/make", "/make&#39; --data"),
        ("/old", "/old&#39; -X &#39;DELETE&#39; --data"),
    ] {
        let answer = ask(Ask::get(path).header(BROWSER)).await;
        assert!(page(&answer).contains(words), "{}", page(&answer));
    }
}

#[tokio::test]
async fn nobody_but_a_browser_that_goes_there_gets_the_page() {
    let plain = ask(Ask::get("/look")).await;
    assert_eq!(plain.header("content-type"), Some("application/json"));
    let java = ("accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2");
    for lines in [
        vec![("accept", "*/*")],
        vec![("accept", "application/json")],
        vec![("accept", "application/json, text/html;q=0.5")],
        vec![("accept", "application/json, text/plain, */*")],
        vec![java],
        vec![BROWSER, ("sec-fetch-mode", "cors")],
        vec![BROWSER, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        vec![
            BROWSER,
            ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
        ],
        vec![BROWSER, ("user-agent", "Mozilla/5.0 AppleWebKit/537.36 GPTBot/1.2")],
    ] {
        let answer = ask(lines.iter().fold(Ask::get("/look"), |ask, line| ask.header(*line))).await;
        assert_eq!(
            (answer.status, &answer.body, &answer.headers),
            (402, &plain.body, &plain.headers),
            "{lines:?}"
        );
    }
    for ask_for in [Ask::post("/make").body("{}"), Ask::get("/nothing"), Ask::new("PUT", "/make")] {
        assert!(!is_page(&ask(ask_for.header(BROWSER)).await));
    }
    assert_eq!(&ask(Ask::get("/free").header(BROWSER)).await.body[..], b"the host's own");
    let buying = Ask::get("/look").header(BROWSER).header(signed(&payment()));
    assert_eq!(&ask(buying).await.body[..], b"the host's own");
    for alone in ["text/html", "text/html, */*;q=0.1"] {
        assert!(is_page(&ask(Ask::get("/look").header(("accept", alone))).await), "{alone}");
    }
    let here = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert!(is_page(&ask(here.into_iter().fold(Ask::get("/look").header(BROWSER), Ask::header)).await));
}

/// Whoever could put a script into the page could ask the wallet to sign something else.
#[tokio::test]
async fn no_url_and_no_word_of_the_catalogue_becomes_markup() {
    for (path, told) in [
        ("/look/'onerror='x\"y'?a='%3Cscript%3E", "&#39;onerror=&#39;"),
        ("/make?%3C/textarea%3E&a='%7Bjs%7D'", "&amp;a=&#39;"),
    ] {
        let answer = ask(Ask::get(path).header(BROWSER)).await;
        let page = page(&answer);
        assert!(page.contains(told), "{page}");
        assert_eq!(page.matches("<script").count(), 2, "the page's own");
        assert_eq!(page.matches("<style").count(), 1);
        assert!(
            page.contains("&lt;script&gt;alert(&#39;catalogue&#39;)&lt;/script&gt; {js} {sale}"),
            "{page}"
        );
        assert!(page.contains("&lt;b&gt;each&lt;/b&gt;"));
        assert_eq!(page.matches("</textarea>").count(), usize::from(answer.status == 405));
        assert!(!page.contains("'onerror='"));
    }
}

#[tokio::test]
async fn the_page_runs_its_own_script_alone_is_framed_by_nobody_and_kept_by_no_cache() {
    let answer = ask(Ask::get("/look").header(BROWSER)).await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("; connect-src 'self'; "), "{policy}");
    assert!(policy.ends_with("base-uri 'none'; form-action 'none'; frame-ancestors 'none'"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("vary", "Accept, Sec-Fetch-Mode, User-Agent"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let page = page(&answer);
    assert_eq!(page.matches("<link").count(), page.matches("<link rel=\"icon\" href=\"data:,\">").count());
    for loads in ["<img", "<iframe", " src=", "@import", "url("] {
        let markup = page.split("<script type=\"module\">").next().unwrap();
        assert!(!markup.contains(loads), "{loads}");
    }
}

/// Proxies allow 4 KiB by default, and a page's head has its policy besides.
#[tokio::test]
async fn the_head_of_a_page_fits_a_proxy_whatever_the_url() {
    for length in [0, 500, 1_000, 1_500, 2_000] {
        let answer = ask(Ask::get(&format!("/look?a={}", "x".repeat(length))).header(BROWSER)).await;
        assert!(answer.status == 402 && is_page(&answer), "{length}");
        let head: usize =
            answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(head < 4_000, "{length}: {head}");
    }
}

#[tokio::test]
async fn the_page_runs_nothing_and_stands_when_nothing_can_be_offered() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    double.nothing_to_offer.store(true, std::sync::atomic::Ordering::SeqCst);
    let app = counting(gate_of(&double, Arc::new(Shop)), &runs);
    let answer = call(&app, Ask::get("/make").header(BROWSER)).await;
    assert!(page(&answer).contains("what you ask for decides"));
    let closed = call(&app, Ask::get("/look").header(BROWSER)).await;
    assert_eq!((closed.status, is_page(&closed)), (503, false));
    assert_eq!(runs.get(), 0);
    assert!(double.log().is_empty());
    assert_eq!(call(&app, paid("/nothing").header(BROWSER)).await.status, 404);
}
