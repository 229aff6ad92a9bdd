//! What a service behind the gate sees, and what others can put there.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use quittance_facilitator::config::ServerConfig;
use quittance_gate::testing::{Double, Entry, another, gate, limits, payment, signed};
use quittance_protocol::encode_header;
use tower::load_shed::LoadShed;
use tower_layer::Layer as _;
use tower_service::Service;

use super::{Stage, exchange, paid_request, request, sell, start};
use crate::{Identity, Limits, Mount as _, Paid, Peer, RequestBody, ResponseBody};

async fn call<S>(service: &mut S, request: Request<Full<Bytes>>) -> Response<ResponseBody>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResponseBody>, Error: std::fmt::Debug>,
{
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    service.call(request).await.unwrap()
}

fn post_of(path: &str, header: Option<(&str, String)>) -> Request<Full<Bytes>> {
    let mut request = Request::post(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    request.body(Full::from("{}")).unwrap()
}

async fn text(answer: Response<ResponseBody>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A plain service of tower's, without axum.
#[derive(Clone, Default)]
struct Plain {
    calls: Arc<AtomicUsize>,
    /// Whether it is too busy to be called: it says so, or waits for ever; or fails when it is.
    busy: Busy,
}

#[derive(Clone, Copy, Default)]
enum Busy {
    #[default]
    No,
    Sheds,
    Waits,
    Fails,
}

impl<B> Service<Request<RequestBody<B>>> for Plain
where
    B: http_body::Body<Data = Bytes, Error: Into<crate::HandlerError>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = crate::HandlerError;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.busy {
            Busy::No | Busy::Fails => Poll::Ready(Ok(())),
            Busy::Sheds => Poll::Ready(Err("too busy".into())),
            Busy::Waits => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request<RequestBody<B>>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = matches!(self.busy, Busy::Fails);
        Box::pin(async move {
            if fails {
                return Err("broken".into());
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let paid = Paid::of(&head.extensions).map(|paid| paid.payment_id.to_string());
            let saw_payment = head.headers.contains_key("payment-signature");
            let text = format!("{paid:?} {saw_payment} {}", String::from_utf8_lossy(&body));
            // A length of its own, which is wrong.
            let answer = Response::builder().header("content-length", "3").header("x-own", "1");
            Ok(answer.body(Full::from(text)).unwrap())
        })
    }
}

#[tokio::test]
async fn a_plain_service_is_sold_by_the_call_and_never_sees_the_payment() {
    let (double, plain) = (Arc::new(Double::default()), Plain::default());
    let mut service = gate(&double).build().layer().layer(plain.clone());
    let unpaid = call(&mut service, post_of("/gen", None)).await;
    assert_eq!(unpaid.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(plain.calls.load(Ordering::SeqCst), 0);
    let paid = call(&mut service, post_of("/gen", Some(signed(&payment())))).await;
    assert_eq!(paid.status(), StatusCode::OK);
    assert!(paid.headers().contains_key("payment-response") && paid.headers().contains_key("x-own"));
    assert_eq!(paid.headers().get("content-length"), None, "the body's own length counts");
    assert_eq!(text(paid).await, "Some(\"pay_1\") false {}");
    double.until(|entry| matches!(entry, Entry::Sent(_))).await;
}

/// A service that sheds load was not called, whether it says so itself or tower's `LoadShed` says it for
/// it, and neither was one whose turn did not come: the run is none of those that a payment has.
#[tokio::test]
async fn a_service_that_is_not_ready_leaves_a_credit_that_counts_against_nothing() {
    for (busy, shed) in [(Busy::Sheds, false), (Busy::Waits, true), (Busy::Waits, false)] {
        let (double, plain) = (Arc::new(Double::default()), Plain { busy, ..Plain::default() });
        let layer = gate(&double).limits(Limits { run_seconds_max: 1, ..limits() }).build().layer();
        let paid = post_of("/gen", Some(signed(&payment())));
        let unpaid = post_of("/gen", None);
        let [unpaid, answer] = match shed {
            true => {
                let mut service = layer.layer(LoadShed::new(plain.clone()));
                [call(&mut service, unpaid).await, call(&mut service, paid).await]
            }
            false => {
                let mut service = layer.layer(plain.clone());
                [call(&mut service, unpaid).await, call(&mut service, paid).await]
            }
        };
        assert_eq!(unpaid.status(), 402, "who does not pay is not shed");
        assert!(answer.status().is_server_error(), "{}", answer.status());
        assert_eq!(answer.headers().get("payment-state").unwrap(), "credited");
        let log = double.log();
        assert!(matches!(&log[..], [Entry::Pay(_), Entry::Unbegun(_)]), "{log:?}");
        assert_eq!(plain.calls.load(Ordering::SeqCst), 0);
    }
}

/// A service that was called and failed has begun.
#[tokio::test]
async fn a_service_that_fails_when_it_is_called_has_begun() {
    let double = Arc::new(Double::default());
    let mut service = gate(&double).build().layer().layer(Plain { busy: Busy::Fails, ..Plain::default() });
    let answer = call(&mut service, post_of("/gen", Some(signed(&payment())))).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
    assert!(!double.log().iter().any(|entry| matches!(entry, Entry::Unbegun(_))));
}

/// axum's extractors stop at 2 MB by themselves, and the gate sells more.
#[tokio::test]
async fn a_body_that_the_gate_admits_is_not_too_large_for_an_extractor() {
    let double = Arc::new(Double::default());
    let app = Router::new().route("/gen", post(|body: Bytes| async move { body.len().to_string() }));
    let bytes = 2 * 1024 * 1024 + 1;
    let mut service = gate(&double).limits(Limits::default()).build().layer().layer(app);
    let mut request = post_of("/gen", Some(signed(&payment())));
    *request.body_mut() = Full::from(vec![b'x'; bytes]);
    let answer = call(&mut service, request).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, bytes.to_string());
}

#[tokio::test]
async fn paths_that_are_not_listed_are_404_and_documents_are_answered_without_a_route() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    for path in ["/nothing", "//gen", "/gen/", "/./gen", "/a/../gen", "/%67en", "/items/a%2Fb", "/items/%61"]
    {
        let answer = exchange(address, &request(path, "", "{}")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    for path in ["/v1/x402", "/.well-known/x402", "/openapi.json", "/llms.txt"] {
        let get = request(path, "", "").replacen("POST", "GET", 1);
        let answer = exchange(address, &get).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("/gen"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn pages_are_answered_before_a_payment_and_on_every_answer() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    let origin = "origin: https://app.test\r\naccess-control-request-method: POST\r\n";
    let preflight = exchange(address, &request("/gen", origin, "").replacen("POST", "OPTIONS", 1)).await;
    assert!(preflight.starts_with("HTTP/1.1 204"), "{preflight}");
    for answer in [preflight, exchange(address, &request("/gen", origin, "{}")).await] {
        assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    }
}

/// Neither a header nor another layer makes a payment, or an account.
#[tokio::test]
async fn what_handlers_learn_comes_from_the_gate_alone() {
    let double = Arc::new(Double::default());
    let gate = gate(&double).authenticate("POST", "/gen", |headers| async move {
        headers.contains_key("x-key").then(|| Identity("acme".to_owned()))
    });
    let gen_ = |paid: Option<Paid>, identity: Option<Identity>| async move {
        let paid = paid.map(|paid| paid.run);
        format!("{paid:?} {identity:?}")
    };
    let app = Router::new()
        .route("/gen", post(gen_))
        .route("/free", get(|_: Paid| async { "never" }))
        .layer(gate.build().layer())
        .layer(axum::Extension(Identity("forged".to_owned())))
        .layer(axum::Extension(quittance_gate::Identity("forged".to_owned())));
    let address = start(app, ServerConfig::default()).await;
    let account = exchange(address, &request("/gen", "x-key: k\r\n", "{}")).await;
    assert!(account.ends_with("None Some(Identity(\"acme\"))"), "{account}");
    let paid = exchange(address, &paid_request("/gen")).await;
    assert!(paid.ends_with("Some(1) None"), "{paid}");
    let free = exchange(address, &request("/free", "", "").replacen("POST", "GET", 1)).await;
    assert!(!free.contains("never") && !free.starts_with("HTTP/1.1 200"), "{free}");
}

/// A proxy that appends on a retry, in both ways that servers see it.
#[tokio::test]
async fn a_payment_header_that_came_twice_is_one_and_a_different_one_is_none() {
    let header = encode_header(&payment()).unwrap();
    let other = encode_header(&another(1)).unwrap();
    for (first, second, status) in [(&header, &header, "200"), (&header, &other, "402")] {
        for lines in [
            format!("payment-signature: {first}\r\nPayment-Signature: {second}\r\n"),
            format!("payment-signature: {first}, {second}\r\n"),
        ] {
            let (double, stage) = (Arc::new(Double::default()), Stage::default());
            stage.go.add_permits(1);
            let address = sell(gate(&double), &stage).await;
            let answer = exchange(address, &request("/gen", &lines, "{}")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert_eq!(stage.runs(), usize::from(status == "200"));
        }
    }
}

/// The gate tells clients apart by their connection, whichever server says so.
#[tokio::test]
async fn the_address_of_a_connection_reaches_the_gate() {
    let peer = Peer { address: [192, 0, 2, 1].into(), local: None, secure: false };
    let connected = axum::extract::ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 9)));
    let expected = quittance_gate::Caller::at([192, 0, 2, 1].into());
    for of_axum in [false, true] {
        let double = Arc::new(Double::default());
        let mut service = gate(&double).build().layer().layer(Plain::default());
        let mut request = post_of("/gen", Some(signed(&payment())));
        match of_axum {
            true => drop(request.extensions_mut().insert(connected)),
            false => drop(request.extensions_mut().insert(peer)),
        }
        call(&mut service, request).await;
        let log = double.log();
        let Some(Entry::Pay(sale)) = log.first() else { panic!("{log:?}") };
        assert_eq!(sale.caller, expected);
    }
}

#[allow(dead_code, reason = "that it compiles is the test")]
fn any_service_without_errors_fits(gate: &crate::Gate) -> impl Service<Request<Full<Bytes>>> {
    #[derive(Clone)]
    struct Free;
    impl Service<Request<RequestBody<Full<Bytes>>>> for Free {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
            std::future::ready(Ok(Response::new(Full::default())))
        }
    }
    gate.layer().layer(Free)
}
