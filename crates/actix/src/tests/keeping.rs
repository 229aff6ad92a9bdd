//! P6 over real connections: slow and vanished readers, stores that are full or
//! elsewhere, parts of kept answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use actix_web::{App, HttpResponse, HttpServer, rt, web};
use bytes::Bytes;
use quittance_facilitator::AnswerLimits;
use quittance_protocol::encode_header;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Answer, app, call, gate, limits, paid, payment};
use crate::{Limits, Mount as _};
use quittance_gate::testing::{Double, Entry, STUCK, answer_limits};

const KIB: usize = 1_024;
const CHUNK: usize = 64 * KIB;

/// What every answer here repeats; no chunk or frame has this length.
static NOISE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..65_521_u32).map(|at| (at * 31 + at / 251) as u8).collect());

fn goods(from: usize, bytes: usize) -> Vec<u8> {
    let mut goods = Vec::with_capacity(bytes);
    while goods.len() < bytes {
        let at = (from + goods.len()) % NOISE.len();
        let end = NOISE.len().min(at + bytes - goods.len());
        goods.extend_from_slice(&NOISE[at..end]);
    }
    goods
}

/// A handler that answers this many chunks of its own accord.
struct Maker {
    chunks: usize,
    runs: Arc<AtomicUsize>,
}

impl Maker {
    fn answer(&self) -> HttpResponse {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let chunks = (0..self.chunks).map(|n| Ok::<_, std::io::Error>(Bytes::from(goods(n * CHUNK, CHUNK))));
        HttpResponse::Ok()
            .insert_header(("set-cookie", "session=first"))
            .content_type("video/mp4")
            .streaming(futures::stream::iter(chunks))
    }
}

/// A server with one such handler.
fn serve(double: &Arc<Double>, chunks: usize, limits: Limits) -> (SocketAddr, Arc<AtomicUsize>) {
    let (gate, runs) = (gate(double).limits(limits).build(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&runs);
    let server = HttpServer::new(move || {
        let maker = Arc::new(Maker { chunks, runs: Arc::clone(&counted) });
        App::new().service(
            web::scope("")
                .wrap(gate.middleware())
                .route("/gen", web::post().to(move || std::future::ready(maker.answer()))),
        )
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    rt::spawn(server.run());
    (address, runs)
}

/// Sends the payment; the client's window is small, so that what it does not
/// read stays with the server.
async fn buy(address: SocketAddr, more: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(256 * KIB as u32).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let header = encode_header(&payment()).unwrap();
    let request = format!(
        "POST /gen HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n{more}payment-signature: {header}\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Head and body; `Err` where the connection ended before the body did.
async fn read(mut stream: TcpStream) -> (String, Result<Vec<u8>, Vec<u8>>) {
    let mut all = Vec::new();
    let _ = timeout(STUCK, stream.read_to_end(&mut all)).await.expect("never closed");
    let head_end = all.windows(4).position(|end| end == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let head = String::from_utf8(all[..head_end].to_vec()).unwrap();
    let rest = &all[head_end..];
    if !head.contains("transfer-encoding: chunked") {
        return (head, Ok(rest.to_vec()));
    }
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(line) = rest[at..].windows(2).position(|end| end == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[at..at + line]).unwrap(), 16).unwrap();
        at += line + 2;
        if size == 0 {
            return (head, Ok(body));
        }
        if at + size + 2 > rest.len() {
            break;
        }
        body.extend_from_slice(&rest[at..at + size]);
        at += size + 2;
    }
    (head, Err(body))
}

fn hang_up(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

async fn finished(double: &Double) {
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
}

/// An hour of the handler's time is none of the reader's, and the reverse.
#[actix_web::test]
async fn a_slow_reader_gets_one_run_and_the_whole_answer() {
    let double = Arc::new(Double::default());
    let (address, runs) = serve(&double, 200, Limits { run_seconds_max: 10, ..limits() });
    let slow = buy(address, "").await;
    // It reads nothing until the handler is through, let alone its time limit.
    finished(&double).await;
    assert_eq!(double.sent(), 0, "what nobody has got is not sent");
    let (head, body) = read(slow).await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("payment-state: running"), "{head}");
    assert!(body.unwrap() == goods(0, 200 * CHUNK));
    double.until(|entry| matches!(entry, Entry::Sent(_))).await;
    assert_eq!((runs.load(Ordering::SeqCst), double.credited()), (1, None));
}

#[actix_web::test]
async fn a_reader_that_hung_up_fetches_an_answer_of_20_mib_later() {
    let double = Arc::new(Double::default());
    let (address, runs) = serve(&double, 320, limits());
    hang_up(buy(address, "").await);
    finished(&double).await;
    assert_eq!(double.sent(), 0);
    let (head, body) = read(buy(address, "").await).await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("payment-state: delivered"), "{head}");
    assert!(body.unwrap() == goods(0, 320 * CHUNK));
    assert_eq!(runs.load(Ordering::SeqCst), 1, "one run");
    double.until(|entry| matches!(entry, Entry::Sent(_))).await;
}

#[actix_web::test]
async fn a_reader_that_was_cut_off_asks_for_the_rest() {
    let double = Arc::new(Double::default());
    // Longer than what the kernel takes from a server for a reader who reads nothing.
    let (address, runs) = serve(&double, 320, limits());
    let mut stream = buy(address, "").await;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    hang_up(stream);
    finished(&double).await;
    let head = String::from_utf8_lossy(&head).into_owned();
    let tag =
        head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag to resume by").to_owned();
    let got = 100_001;
    let more = format!("range: bytes={got}-\r\nif-range: {tag}\r\n");
    let (head, rest) = read(buy(address, &more).await).await;
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert!(
        head.contains(&format!("content-range: bytes {got}-{}/{}", 320 * CHUNK - 1, 320 * CHUNK)),
        "{head}"
    );
    assert!(rest.unwrap() == goods(got, 320 * CHUNK - got));
    assert_eq!(double.sent(), 0, "a part is not the whole");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Too long for the store, store full, store silent: the run that completed is
/// never run again, and what nobody got is not called delivered.
#[actix_web::test]
async fn an_answer_that_cannot_be_kept_goes_to_its_reader_and_never_runs_again() {
    for kind in ["too long", "store full", "store silent"] {
        let bound = if kind == "too long" { 1 << 20 } else { 32 << 20 };
        let timeout = std::time::Duration::from_millis(20);
        let double = Double::default().with_answers(AnswerLimits {
            answer_bytes_max: bound,
            store_timeout: timeout,
            ..answer_limits()
        });
        double.object_store.full.store(kind == "store full", Ordering::SeqCst);
        double.object_store.stands_still.store(kind == "store silent", Ordering::SeqCst);
        let double = Arc::new(double);
        let (address, runs) = serve(&double, 30, limits());
        let (head, body) = read(buy(address, "").await).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{kind}: {head}");
        assert!(body.unwrap() == goods(0, 30 * CHUNK), "{kind}");
        double.until(|entry| matches!(entry, Entry::Sent(_))).await;
        let (head, body) = read(buy(address, "").await).await;
        let body = String::from_utf8(body.unwrap()).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 410") && head.contains("payment-state: delivered\r\n"),
            "{kind}: {head}"
        );
        assert!(body.contains("\"refundable\":false"), "{kind}: {body}");
        assert_eq!((runs.load(Ordering::SeqCst), double.credited()), (1, None), "{kind}");
    }
}

#[actix_web::test]
async fn an_answer_beyond_the_bound_whose_reader_left_is_delivered_in_part() {
    let double =
        Double::default().with_answers(AnswerLimits { answer_bytes_max: 1 << 20, ..answer_limits() });
    let double = Arc::new(double);
    let (address, runs) = serve(&double, 200, limits());
    let mut stream = buy(address, "").await;
    stream.read_exact(&mut [0; 10_000]).await.unwrap();
    hang_up(stream);
    finished(&double).await;
    let (head, body) = read(buy(address, "").await).await;
    let body = String::from_utf8(body.unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 410"), "{head}");
    assert!(head.contains("payment-state: delivered_in_part"), "{head}");
    assert!(body.contains("\"refundable\":true") && !body.contains("delivered once"), "{body}");
    assert_eq!((runs.load(Ordering::SeqCst), double.sent(), double.credited()), (1, 0, None));
}

#[actix_web::test]
async fn a_replica_that_does_not_have_the_object_says_so() {
    let double = Arc::new(Double::default());
    let (address, _) = serve(&double, 40, limits());
    hang_up(buy(address, "").await);
    finished(&double).await;
    double.object_store.elsewhere.store(true, Ordering::SeqCst);
    let (head, body) = read(buy(address, "").await).await;
    let body = String::from_utf8(body.unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: "), "{head}");
    assert!(body.contains("answer_unreachable") && body.contains("retry_same_payment"), "{body}");
    double.object_store.elsewhere.store(false, Ordering::SeqCst);
    let (_, body) = read(buy(address, "").await).await;
    assert!(body.unwrap() == goods(0, 40 * CHUNK), "it was never gone");
}

#[actix_web::test]
async fn a_replay_repeats_neither_cookies_nor_plain_text_in_the_store() {
    let double = Arc::new(Double::default());
    let (address, _) = serve(&double, 40, limits());
    let (head, _) = read(buy(address, "").await).await;
    assert!(head.contains("set-cookie: session=first"), "the first one's own: {head}");
    let (head, _) = read(buy(address, "").await).await;
    assert!(!head.contains("set-cookie") && head.contains("accept-ranges: bytes"), "{head}");
    for object in double.object_store.objects.lock().unwrap().values() {
        let plain = goods(0, 64);
        assert!(!object.windows(64).any(|window| window == plain));
    }
}

/// One paid call, and then replays of it with these headers.
async fn replays(body: &'static str, status: u16) -> impl AsyncFn(&str, &str) -> Answer {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), move |config| {
        config.default_service(web::to(move || {
            let status = actix_web::http::StatusCode::from_u16(status).unwrap();
            std::future::ready(HttpResponse::build(status).insert_header(("etag", "\"e\"")).body(body))
        }));
    })
    .await;
    call(&app, paid("/gen")).await;
    async move |name: &str, value: &str| {
        call(&app, paid("/gen").insert_header((name.to_owned(), value.to_owned()))).await
    }
}

#[actix_web::test]
async fn parts_of_a_short_answer_are_served_too() {
    let ask = replays("0123456789", 200).await;
    let part = ask("range", "bytes=3-5").await;
    assert_eq!((part.status, &part.body[..]), (206, &b"345"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 3-5/10"));
    assert_eq!(part.decoded("payment-response")["transaction"], "0xhash");
    let beyond = ask("range", "bytes=10-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */10")));
    for several in ["bytes=0-1,3-4", "lines=1-2"] {
        let whole = ask("range", several).await;
        assert_eq!((whole.status, &whole.body[..]), (200, &b"0123456789"[..]), "{several}");
    }
    let refused = replays("unreadable", 422).await;
    assert_eq!(refused("range", "bytes=0-1").await.status, 422, "a refusal has no parts");
}
