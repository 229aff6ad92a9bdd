//! Reading a body as if an attacker sent it: bounded in bytes, in time, and together
//! with all others in memory.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use crate::{GateError, Limits};

/// Reads the whole body, asking for `room` for each piece.
pub(crate) async fn read_body<B: Body<Data = Bytes>>(
    body: B,
    announced: Option<usize>,
    limits: &Limits,
    mut room: impl FnMut(usize) -> Result<(), GateError>,
) -> Result<Bytes, GateError> {
    let announced = announced.unwrap_or(0).min(limits.body_bytes_max);
    let mut reading = pin!(collect(body, limits.body_bytes_max, announced, &mut room));
    // The connection decodes the head before the body and asks us in between,
    // so a body that came in the same packet is there at the second look. Only
    // what has to be waited for is worth a timer.
    let mut looked = false;
    let arrived = poll_fn(|cx| match reading.as_mut().poll(cx) {
        Poll::Ready(body) => Poll::Ready(Some(body)),
        Poll::Pending if looked => Poll::Ready(None),
        Poll::Pending => {
            looked = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match arrived.await {
        Some(body) => body,
        None => {
            tokio::time::timeout(limits.body_read(), reading).await.map_err(|_| GateError::BodyTooSlow)?
        }
    }
}

/// The next piece of a body, its trailers left out.
pub(crate) async fn next_piece<B: Body<Data = Bytes>>(
    body: &mut Pin<&mut B>,
) -> Option<Result<Bytes, B::Error>> {
    loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await?.map(Frame::into_data) {
            Ok(Ok(piece)) => return Some(Ok(piece)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

async fn collect<B: Body<Data = Bytes>>(
    body: B,
    max: usize,
    announced: usize,
    room: &mut impl FnMut(usize) -> Result<(), GateError>,
) -> Result<Bytes, GateError> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut length = 0_usize;
    while let Some(chunk) = next_piece(&mut body).await {
        let chunk = chunk.map_err(|_| GateError::BodyBroken)?;
        if chunk.len() > max.saturating_sub(length) {
            return Err(GateError::BodyTooLarge { max });
        }
        room(chunk.len())?;
        let before = length;
        length = length.saturating_add(chunk.len());
        // Most bodies come in one piece, which needs no copy.
        if before == 0 {
            first = chunk;
            continue;
        }
        if joined.is_empty() {
            // Once, not by doubling: what has not arrived takes no memory.
            joined.reserve(announced.max(length));
            joined.extend_from_slice(&first);
            first = Bytes::new();
        }
        joined.extend_from_slice(&chunk);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}
