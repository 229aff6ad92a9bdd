//! Reading a body as if an attacker sent it: bounded in bytes, in time, and together
//! with all others in memory.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use crate::{GateError, Limits};

/// What a body that comes in pieces is gathered in, once so much of it has arrived …
const SEGMENT_BYTES: usize = 64 * 1024;

/// … and before.
const SEGMENT_BYTES_MIN: usize = 4 * 1024;

/// Reads the whole body, asking for `room` for each piece.
pub(crate) async fn read_body<B: Body<Data = Bytes>>(
    body: B,
    limits: &Limits,
    mut room: impl FnMut(usize) -> Result<(), GateError>,
) -> Result<Bytes, GateError> {
    let mut reading = pin!(collect(body, limits.body_bytes_max, &mut room));
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
    room: &mut impl FnMut(usize) -> Result<(), GateError>,
) -> Result<Bytes, GateError> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut arrived = 0_usize;
    let mut segments: Vec<BytesMut> = Vec::new();
    while let Some(chunk) = next_piece(&mut body).await {
        let chunk = chunk.map_err(|_| GateError::BodyBroken)?;
        let before = arrived;
        arrived = before.saturating_add(chunk.len());
        if arrived > max {
            return Err(GateError::BodyTooLarge { max });
        }
        room(chunk.len())?;
        // Most bodies come in one piece, which needs no copy.
        if before == 0 {
            first = chunk;
            continue;
        }
        append(&mut segments, &std::mem::take(&mut first), before);
        append(&mut segments, &chunk, before);
    }
    if segments.is_empty() {
        return Ok(first);
    }
    // Only now: what has not arrived takes no memory, whatever was announced.
    let mut whole = BytesMut::with_capacity(arrived);
    for segment in segments {
        whole.extend_from_slice(&segment);
    }
    Ok(whole.freeze())
}

/// Copies a piece behind the others: each kept by itself, bodies of single bytes would take
/// many times their length.
fn append(segments: &mut Vec<BytesMut>, mut piece: &[u8], arrived: usize) {
    while !piece.is_empty() {
        let room = segments.last().map_or(0, |last| last.capacity().saturating_sub(last.len()));
        match segments.last_mut().filter(|_| room > 0) {
            Some(last) => {
                let (now, later) = piece.split_at(room.min(piece.len()));
                last.extend_from_slice(now);
                piece = later;
            }
            None => {
                let bytes = arrived.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES);
                segments.push(BytesMut::with_capacity(bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;

    use super::*;

    type Pieces = Vec<Result<Frame<Bytes>, std::convert::Infallible>>;

    fn pieces(sizes: &[usize]) -> (Vec<u8>, Pieces) {
        let whole: Vec<u8> =
            (0..sizes.iter().sum::<usize>()).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut rest = Bytes::from(whole.clone());
        let pieces = sizes.iter().map(|size| Ok(Frame::data(rest.split_to(*size)))).collect();
        (whole, pieces)
    }

    #[tokio::test]
    async fn a_body_is_whole_however_it_comes() {
        for sizes in [
            &[][..],
            &[10],
            &[1, 1, 1],
            &[100, 1, 70_000, 3],
            &[1; 10_000],
            &[300_000, 300_000],
            &[4_096, 4_096, 4_096],
        ] {
            let (whole, pieces) = pieces(sizes);
            let body = StreamBody::new(stream::iter(pieces));
            let read = read_body(body, &Limits::default(), |_| Ok(())).await.unwrap();
            assert_eq!(read, whole, "{} pieces", sizes.len());
        }
    }
}
