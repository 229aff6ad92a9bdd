//! One connection, from its first byte to its last.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use quittance_facilitator::config::ServerConfig;
use quittance_gate::HandlerError;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_service::Service;

use super::idle::{Activity, Busy, Noticed};
use crate::failed::BodyError;
use crate::peer::Peer;

/// Longest head of a request of HTTP/1, and what of an answer waits for a reader that is slow.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Longest list of headers of HTTP/2: two payments and what a browser adds fit.
const HEADERS_BYTES_MAX: u32 = 64 * 1024;

/// Requests of HTTP/2 at once on one connection.
const STREAMS_MAX: u32 = 32;

/// What a client may send before it is read: of one body, and of all on its connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How often a client of HTTP/2 is asked whether it is still there.
const PING: Duration = Duration::from_secs(10);

/// How long one that was told to go may take.
const GOING: Duration = Duration::from_secs(1);

/// The same for all connections.
pub(super) struct Settings {
    protocols: auto::Builder<TokioExecutor>,
    head_max: Duration,
    idle_max: Duration,
}

impl Settings {
    pub(super) fn new(server: &ServerConfig) -> Self {
        let head_max = Duration::from_secs(server.header_seconds_max);
        let mut protocols = auto::Builder::new(TokioExecutor::new());
        // Heads and idleness are watched here, of both protocols and before one is known.
        protocols.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
        protocols
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEADERS_BYTES_MAX)
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(BUFFER_BYTES_MAX)
            .keep_alive_interval(PING)
            .keep_alive_timeout(head_max);
        Self { protocols, head_max, idle_max: Duration::from_secs(server.keep_alive_seconds) }
    }
}

/// Serves it until it is closed, idle for too long, or told to stop.
pub(super) async fn run<S, R>(
    stream: TcpStream,
    peer: Peer,
    service: S,
    settings: Arc<Settings>,
    mut stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<HandlerError>,
    S::Future: Send,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<HandlerError>,
{
    // Answers are written in one piece, or as they come.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::new(settings.head_max, settings.idle_max));
    let counting = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let busy = Busy::begin(&counting);
        let mut service = service.clone();
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(BodyError::of)?;
            let answer = service.call(request).await.map_err(BodyError::of)?;
            Ok::<_, BodyError>(answer.map(|body| busy.until_over(body)))
        }
    });
    let stream = Noticed::new(stream, Arc::clone(&activity));
    let watched = stream.clone();
    let mut connection = pin!(settings.protocols.serve_connection(TokioIo::new(stream), service));
    let mut left = pin!(watched.left());
    let mut is_going = false;
    loop {
        tokio::select! {
            biased;
            // An error is the client's: it left, or spoke something else.
            _ = connection.as_mut() => return,
            () = left.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped), if !is_going => {
                is_going = true;
                connection.as_mut().graceful_shutdown();
            }
            () = activity.idle() => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    // A request may have come while that was decided: it is answered.
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = left.as_mut() => return,
            () = tokio::time::sleep(GOING) => {}
        }
        if !activity.is_busy() {
            return;
        }
    }
}
