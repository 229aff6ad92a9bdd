//! The gate as a layer of tower's.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body;
use quittance_gate::drain::{Drain, DrainBudget};
use quittance_gate::{Arrival, Entry, Gate, HandlerError};
use tower::load_shed::error::Overloaded;
use tower_layer::Layer;
use tower_service::Service;

use crate::extract::{self, Paid};
use crate::peer::Peer;
use crate::request_body::{RequestBody, Rest, watch};
use crate::response_body::ResponseBody;

/// Mounts a [`Gate`] in front of a service of tower's.
pub trait Mount {
    /// The layer. It also answers the discovery documents.
    ///
    /// Put it around all that a server answers, such as axum's outermost `Router`: the gate has to read the
    /// path that its catalogue lists, and a nested router sees a part of it.
    fn layer(&self) -> GateLayer;
}

impl Mount for Gate {
    fn layer(&self) -> GateLayer {
        GateLayer { gate: self.clone(), budget: Arc::default() }
    }
}

/// The gate as a layer; see [`Mount::layer`]. What it reads behind early answers is bounded for
/// all services together that it wraps.
#[derive(Clone)]
pub struct GateLayer {
    gate: Gate,
    budget: Arc<DrainBudget>,
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService { inner, layer: self.clone() }
    }
}

/// A gate around a service.
///
/// It is always ready: who does not pay takes no place in the service behind it, which is made
/// ready for each request that gets there.
#[derive(Clone)]
pub struct GateService<S> {
    inner: S,
    layer: GateLayer,
}

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<HandlerError> + Send,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
    R: Body<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<ResponseBody>, S::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { inner, layer: GateLayer { gate, budget } } = self.clone();
        async move {
            let (request, rest) = watch(request);
            let answer = admit(&gate, inner, request).await?;
            Ok(read_on(rest, answer, &budget).await)
        }
        .boxed()
    }
}

async fn admit<S, B, R>(
    gate: &Gate,
    mut inner: S,
    request: Request<RequestBody<B>>,
) -> Result<Response<ResponseBody>, S::Error>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Send + 'static,
    S::Error: Into<HandlerError> + Send,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
    R: Body<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
{
    let (head, body) = request.into_parts();
    let peer = Peer::of(&head.extensions);
    let secure = peer.is_some_and(|peer| peer.secure)
        || head.uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTPS);
    let arrival = Arrival {
        peer: peer.map(|peer| peer.address),
        local: peer.and_then(|peer| peer.local),
        secure,
        ..Arrival::default()
    };
    match gate.enter(head, &arrival).await {
        Entry::Answered(answer) => Ok(answer.map(ResponseBody::gate)),
        Entry::Pass { mut head, identity, cors } => {
            extract::note_identity(&mut head.extensions, identity);
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            let answer = inner.call(Request::from_parts(*head, body)).await?;
            let mut answer = answer.map(ResponseBody::host);
            cors.apply(answer.headers_mut());
            Ok(answer)
        }
        Entry::Unpriced(unpriced) => match unpriced.quote(body).await {
            Err(answer) => Ok(answer.map(ResponseBody::gate)),
            Ok(priced) => {
                let answer = priced.settle_and_run(move |request| run(inner, request)).await;
                Ok(answer.map(ResponseBody::gate))
            }
        },
    }
}

/// What was paid for, in the gate's own task, which goes on without the connection.
///
/// As long as the service was not called nothing of the run began, however it ends: it sheds load, or
/// its turn does not come in the run's time.
async fn run<S, B, R>(mut inner: S, request: Request<Bytes>) -> Result<Response<R>, HandlerError>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    S::Error: Into<HandlerError>,
{
    let paid = Paid::of(request.extensions());
    let note = |is_begun: bool| match &paid {
        Some(paid) if is_begun => paid.note_begun(),
        Some(paid) => paid.note_unbegun(),
        None => {}
    };
    note(false);
    poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
    note(true);
    let mut request = request.map(RequestBody::whole);
    admit_whole(&mut request);
    let mut answer = inner.call(request).await.map_err(|error| {
        let error = error.into();
        // Tower's own says only here that what is behind it was not ready.
        if error.is::<Overloaded>() {
            note(false);
        }
        error
    })?;
    // The body's own length counts: a server that believed another one would cut the answer
    // there, or wait for more of it.
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer.headers_mut().remove(TRANSFER_ENCODING);
    Ok(answer)
}

/// The gate has bounded the body: axum's own extractors, which stop at 2 MB, would refuse what was paid
/// for. What a host sets behind the gate still holds.
#[cfg(feature = "axum")]
fn admit_whole<B>(request: &mut Request<B>) {
    axum::extract::DefaultBodyLimit::disable().apply(request);
}

#[cfg(not(feature = "axum"))]
fn admit_whole<B>(_: &mut Request<B>) {}

/// The answer, with what is left of its request's body read behind it; see [`quittance_gate::drain`].
async fn read_on<B>(
    rest: Option<Rest<B>>,
    answer: Response<ResponseBody>,
    budget: &Arc<DrainBudget>,
) -> Response<ResponseBody>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let Some(rest) = rest.filter(Rest::is_left) else { return answer };
    // Without a place the server closes the connection behind the answer.
    let Some(place) = budget.place() else { return answer };
    place.turn(rest.left()).await;
    answer.map(|body| {
        body.then(async move {
            let mut reading = Drain::begin();
            poll_fn(|cx| reading.poll(&place, cx, |cx| rest.poll_bytes(cx))).await;
        })
    })
}
