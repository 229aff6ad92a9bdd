//! Real connections that read, close, or close in the worst moment.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::oneshot;

use super::*;

const ANSWER: &str = r#"{"success":true}"#;

/// For what must happen soon.
const SOON: Duration = Duration::from_secs(20);

/// Says what was told, when the way of the answer has ended.
struct Recorder {
    may: bool,
    given: bool,
    end: Sender<&'static str>,
    over: bool,
}

impl Watched for Recorder {
    fn give(&mut self) -> bool {
        self.given |= self.may;
        self.may
    }

    fn taken(mut self) {
        self.over = true;
        self.end.send("taken").ok();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.over {
            self.end.send(if self.given { "lost" } else { "unsaid" }).ok();
        }
    }
}

/// What a request waits for.
type Gate = Arc<Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>>;

struct Server {
    address: SocketAddr,
    ends: Receiver<&'static str>,
    open: Option<oneshot::Sender<()>>,
    /// Requests that wait.
    arrived: Receiver<()>,
    release: Sender<()>,
    handle: actix_web::dev::ServerHandle,
}

impl Server {
    /// One worker, one gate; `may` is whether the answer may still be given.
    fn start(may: bool) -> Self {
        let (end, ends) = channel();
        let (arrive, arrived) = channel();
        let (started, starting) = channel();
        let (release, released) = channel();
        let released = Arc::new(Mutex::new(released));
        let gate: Gate = Arc::new(Mutex::new(Some(oneshot::channel())));
        let open =
            gate.lock().unwrap().as_mut().map(|(open, _)| std::mem::replace(open, oneshot::channel().0));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let shared = (gate, arrive, end, released);
                let app = move || {
                    let (gate, arrive, end, released) = shared.clone();
                    let blocked = arrive.clone();
                    App::new()
                        .route(
                            "/settle",
                            web::get().to(move || settle(gate.clone(), arrive.clone(), end.clone(), may)),
                        )
                        .route("/block", web::get().to(move || block(blocked.clone(), released.clone())))
                };
                let server = watchful!(HttpServer::new(app)).workers(1).disable_signals();
                let server = server.bind("127.0.0.1:0").unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = starting.recv_timeout(SOON).unwrap();
        Self { address, ends, open, arrived, release, handle }
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        stream
    }

    fn answer_now(&mut self) {
        self.open.take().unwrap().send(()).ok();
    }

    fn end(&self) -> &'static str {
        self.ends.recv_timeout(SOON).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn settle(gate: Gate, arrive: Sender<()>, end: Sender<&'static str>, may: bool) -> HttpResponse {
    let watched = Recorder { may, given: false, end, over: false };
    let (_, opened) = gate.lock().unwrap().take().unwrap();
    arrive.send(()).unwrap();
    opened.await.ok();
    HttpResponse::Ok().body(Success::new(Bytes::from_static(ANSWER.as_bytes()), watched))
}

/// Keeps the only worker from looking at anything until it is released.
async fn block(arrive: Sender<()>, release: Arc<Mutex<Receiver<()>>>) -> HttpResponse {
    arrive.send(()).unwrap();
    release.lock().unwrap().recv_timeout(SOON).unwrap();
    HttpResponse::Ok().finish()
}

fn read_answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 1_024];
    while !text.ends_with(ANSWER.as_bytes()) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_connection_that_stays_open_takes_it() {
    let mut server = Server::start(true);
    let mut stream = server.ask("/settle");
    server.answer_now();
    assert!(read_answer(&mut stream).starts_with("HTTP/1.1 200"));
    assert_eq!(server.end(), "taken");
}

#[test]
fn a_client_that_closes_as_soon_as_it_has_all_took_it() {
    let mut server = Server::start(true);
    let mut stream = server.ask("/settle");
    server.answer_now();
    read_answer(&mut stream);
    drop(stream);
    assert_eq!(server.end(), "taken");
}

#[test]
fn who_hangs_up_while_waiting_is_told_nothing() {
    for half in [false, true] {
        let server = Server::start(true);
        let stream = server.ask("/settle");
        server.arrived.recv_timeout(SOON).unwrap();
        // Closed, or only its own side: either way nobody waits any more.
        let kept = if half {
            stream.shutdown(Shutdown::Write).unwrap();
            Some(stream)
        } else {
            drop(stream);
            None
        };
        // The handler itself is dropped: the answer is never made.
        assert_eq!(server.end(), "unsaid", "half closed: {half}");
        drop(kept);
    }
}

/// The close has reached our kernel, and nobody has looked when the answer comes.
#[test]
fn who_hung_up_unseen_before_the_answer_is_told_nothing() {
    let mut server = Server::start(true);
    let stream = server.ask("/settle");
    server.arrived.recv_timeout(SOON).unwrap();
    let blocking = server.ask("/block");
    server.arrived.recv_timeout(SOON).unwrap();
    drop(stream);
    server.answer_now();
    server.release.send(()).unwrap();
    assert_eq!(server.end(), "unsaid");
    drop(blocking);
}

/// Nothing of a success leaves a process that may not say it any more.
#[test]
fn an_answer_that_was_withdrawn_is_cut() {
    let mut server = Server::start(false);
    let mut stream = server.ask("/settle");
    server.answer_now();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok();
    assert!(!text.contains("success"), "{text}");
    assert_eq!(server.end(), "unsaid");
}

/// A peer that takes nothing is not told, however long its connection stays.
#[test]
fn what_our_kernel_does_not_take_is_not_taken() {
    let (end, ends) = channel();
    let watched = Recorder { may: true, given: false, end, over: false };
    let mut body = Box::pin(Success::new(Bytes::from_static(ANSWER.as_bytes()), watched));
    let waker = std::task::Waker::noop();
    let mut cx = Context::from_waker(waker);
    let mut polled = 0;
    // As actix polls it: not again before the buffer is empty.
    let piece = loop {
        polled += 1;
        if let Poll::Ready(piece) = body.as_mut().poll_next(&mut cx) {
            break piece;
        }
    };
    assert_eq!(piece.unwrap().unwrap(), ANSWER);
    assert!(polled > 2, "it looks at the connection first");
    assert!(ends.try_recv().is_err());
    drop(body);
    assert_eq!(ends.try_recv(), Ok("lost"));
}
