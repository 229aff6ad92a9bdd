//! A handler of actix's for a gate that sends its runs between threads.
//!
//! Neither actix's requests nor its handlers nor their bodies can leave the worker that
//! took the connection. So each paid request waits on its worker, in a task of its own
//! that outlives the connection; the gate's run tells it to begin, and takes the answer's
//! body piece by piece through a channel with room for one: a handler is asked for no more
//! than the run takes. Where the run ends first, by its deadline or because the process
//! may not act on the payment any more, the handler and its body are dropped.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, rt};
use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Frame, SizeHint};
use quittance_gate::{HandlerError, WITHHELD};
use tokio::sync::{mpsc, oneshot};

use crate::convert;
use crate::extract::Paid;

/// Pieces of a body between the worker's task and the run.
const PIECES_MAX: usize = 1;

/// In the extensions of an answer that is the handler's own, whatever the gate did to
/// its headers.
#[derive(Clone, Copy)]
pub(crate) struct FromHandler;

/// Why there is no answer of the handler's.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Failed {
    #[error("the handler panicked")]
    Panicked,
    #[error("the handler's body panicked")]
    BodyPanicked,
    #[error("the handler's worker is gone")]
    Lost,
}

/// What the gate's run gives its handler.
struct Go {
    request: http::Request<Bytes>,
    reply: oneshot::Sender<Answered>,
}

/// What is left of the exchange on the worker when the answer is there.
#[derive(Default)]
pub(crate) struct Left {
    /// `None` if it was lost with a handler that panicked or was dropped.
    pub(crate) request: Option<HttpRequest>,
    /// The handler's own head, with what only actix knows of it.
    pub(crate) head: Option<HttpResponse<()>>,
}

type Answered = Result<http::Response<Piped>, HandlerError>;

/// Lets the request wait on its worker: for the run that calls the first, or for it to
/// be dropped. Then the second is there.
pub(crate) fn park<S, B>(service: Rc<S>, req: ServiceRequest) -> (Call, oneshot::Receiver<Left>)
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let (go, begin) = oneshot::channel::<Go>();
    let (back, left) = oneshot::channel();
    rt::spawn(async move {
        match begin.await {
            Ok(begun) => run(service, req, begun, back).await,
            // Answered without a run.
            Err(_) => drop(back.send(Left { request: Some(req.into_parts().0), head: None })),
        }
    });
    (Call(go), left)
}

/// The run's way to a handler that waits on its worker.
pub(crate) struct Call(oneshot::Sender<Go>);

impl Call {
    pub(crate) async fn call(self, request: http::Request<Bytes>) -> Answered {
        let (reply, answer) = oneshot::channel();
        self.0.send(Go { request, reply }).map_err(|_| Failed::Lost)?;
        answer.await.map_err(|_| Failed::Lost)?
    }
}

/// The handler, on its worker.
async fn run<S, B>(service: Rc<S>, mut req: ServiceRequest, go: Go, back: oneshot::Sender<Left>)
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let Go { request, mut reply } = go;
    let (mut head, body) = request.into_parts();
    for name in WITHHELD {
        req.headers_mut().remove(name);
    }
    if let Some(paid) = head.extensions.remove() {
        req.extensions_mut().insert(Paid::new(paid));
    }
    if !body.is_empty() {
        req.set_payload(Payload::from(body));
    }
    let handler = AssertUnwindSafe(async move { service.call(req).await }).catch_unwind();
    let handled = tokio::select! {
        biased;
        () = reply.closed() => return,
        handled = handler => handled,
    };
    match handled {
        Err(_panic) => drop(reply.send(Err(Failed::Panicked.into()))),
        Ok(Err(error)) => answer(None, error.error_response(), reply, back).await,
        Ok(Ok(response)) => {
            let (request, response) = response.into_parts();
            answer(Some(request), response, reply, back).await;
        }
    }
}

/// Gives the run the answer's head, and then its body as fast as it is taken.
async fn answer<B: MessageBody + 'static>(
    request: Option<HttpRequest>,
    response: HttpResponse<B>,
    reply: oneshot::Sender<Answered>,
    back: oneshot::Sender<Left>,
) {
    let (head, body) = response.into_parts();
    let (pieces, taken) = mpsc::channel(PIECES_MAX);
    let size = match body.size() {
        BodySize::None => Some(0),
        BodySize::Sized(bytes) => Some(bytes),
        BodySize::Stream => None,
    };
    let mut answer = http::Response::new(Piped { pieces: taken, size, is_over: false });
    // A status that http does not know is none that a client does.
    *answer.status_mut() =
        http::StatusCode::from_u16(head.status().as_u16()).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    *answer.headers_mut() = convert::headers(head.headers());
    answer.extensions_mut().insert(FromHandler);
    let _ = back.send(Left { request, head: Some(head) });
    if reply.send(Ok(answer)).is_ok() {
        pump(body, pieces).await;
    }
}

/// One step of a body. That it ended well is said, not left to the channel's end: that
/// one also comes when the worker goes.
enum Piece {
    Data(Bytes),
    End,
    Broken(HandlerError),
}

async fn pump<B: MessageBody + 'static>(body: B, pieces: mpsc::Sender<Piece>) {
    let mut body = pin!(body);
    loop {
        // Room first: a body is asked for nothing that nobody takes.
        let Ok(room) = pieces.reserve().await else { return };
        let next = AssertUnwindSafe(poll_fn(|cx| body.as_mut().poll_next(cx))).catch_unwind();
        let next = tokio::select! {
            biased;
            () = pieces.closed() => return,
            next = next => next,
        };
        let piece = match next {
            Ok(Some(Ok(data))) => {
                room.send(Piece::Data(data));
                continue;
            }
            Ok(None) => Piece::End,
            // Errors of actix's cannot leave the worker, either.
            Ok(Some(Err(error))) => Piece::Broken(error.into().to_string().into()),
            Err(_panic) => Piece::Broken(Failed::BodyPanicked.into()),
        };
        return room.send(piece);
    }
}

/// A handler's body at the run's end of the channel.
pub(crate) struct Piped {
    pieces: mpsc::Receiver<Piece>,
    size: Option<u64>,
    is_over: bool,
}

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = HandlerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandlerError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.pieces.poll_recv(cx));
        Poll::Ready(match next {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            other => {
                self.is_over = true;
                match other {
                    Some(Piece::Broken(error)) => Some(Err(error)),
                    Some(Piece::End | Piece::Data(_)) => None,
                    None => Some(Err(Failed::Lost.into())),
                }
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map(SizeHint::with_exact).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    /// A body of so many pieces that counts how often it was asked.
    fn counted(pieces: usize, asked: &Rc<Cell<usize>>) -> impl MessageBody + use<> {
        let asked = Rc::clone(asked);
        let pieces = stream::unfold(0, move |n| {
            asked.set(asked.get() + 1);
            let next = (n < pieces).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"piece")), n + 1));
            std::future::ready(next)
        });
        actix_web::body::BodyStream::new(pieces)
    }

    #[actix_web::test]
    async fn a_body_is_asked_for_no_more_than_is_taken() {
        let asked = Rc::new(Cell::new(0));
        let (pieces, taken) = mpsc::channel(PIECES_MAX);
        rt::spawn(pump(counted(1_000, &asked), pieces));
        let mut body = Piped { pieces: taken, size: None, is_over: false };
        for n in 1..=10 {
            body.frame().await.unwrap().unwrap();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert!(asked.get() <= n + PIECES_MAX, "{} after {n}", asked.get());
        }
        let before = asked.get();
        drop(body);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!((asked.get(), Rc::strong_count(&asked)), (before, 1), "the body is dropped with its run");
    }

    #[actix_web::test]
    async fn a_worker_that_goes_is_no_end_of_a_body() {
        let (pieces, taken) = mpsc::channel(PIECES_MAX);
        pieces.send(Piece::Data(Bytes::from_static(b"a part"))).await.ok().unwrap();
        drop(pieces);
        let mut body = Piped { pieces: taken, size: None, is_over: false };
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
}
