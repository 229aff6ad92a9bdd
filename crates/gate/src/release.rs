//! The head of an answer: held back until the ledger has all of it, or released
//! while the handler is still at work.

use std::time::Duration;

use http::Response;
use http::response::Parts;
use quittance_facilitator::{DraftReader, ReaderHandle};
use quittance_protocol::SettleResponse;
use tokio::sync::oneshot;

use crate::body::{Body, Live, OnSent, until};
use crate::receipt;

/// Where the answer goes; closed when the client is gone.
pub(crate) type Client = oneshot::Sender<Response<Body>>;

/// What the client is still to be given.
struct Held {
    head: Parts,
    client: Client,
    reader: DraftReader,
    on_sent: OnSent,
    alive: oneshot::Sender<()>,
}

pub(crate) struct Release {
    held: Option<Held>,
    reader: ReaderHandle,
    over: oneshot::Receiver<()>,
}

impl Release {
    pub(crate) fn new(head: Parts, client: Client, reader: DraftReader, on_sent: OnSent) -> Self {
        let (alive, over) = oneshot::channel();
        let handle = reader.handle();
        Self { held: Some(Held { head, client, reader, on_sent, alive }), reader: handle, over }
    }

    pub(crate) fn is_released(&self) -> bool {
        self.held.is_none()
    }

    /// Gives the client the head, and the reader behind it; once.
    pub(crate) fn release(&mut self, receipt: &SettleResponse, state: &'static str, size: Option<u64>) {
        let Some(held) = self.held.take() else { return };
        let Held { mut head, client, reader, on_sent, alive } = held;
        receipt::stamp(head.status, &mut head.headers, receipt, state);
        if size == Some(0) {
            // An empty body is never asked for its end.
            if client.send(Response::from_parts(head, Body::default())).is_ok() {
                on_sent();
            }
            return;
        }
        let body = Body::from(Live::new(reader, size, on_sent, alive));
        // A client that hung up gets its answer when it comes back with the payment.
        let _ = client.send(Response::from_parts(head, body));
    }

    /// Another answer in this one's place, if nothing was said yet.
    pub(crate) fn replace(self, response: Response<Body>) {
        if let Some(client) = self.take_back() {
            let _ = client.send(response);
        }
    }

    /// The client, if nothing was said to it yet.
    pub(crate) fn take_back(self) -> Option<Client> {
        self.held.map(|held| held.client)
    }

    /// The answer is complete: its reader has so long to take it.
    pub(crate) fn give_up_after(self, reader_max: Duration) {
        let Self { reader, over, .. } = self;
        until(over, reader_max, move || reader.give_up());
    }
}
