//! The head of an answer: held back until the books have all of it, or released
//! while the handler is still at work.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody};
use quittance_facilitator::{DraftReader, ReaderHandle};
use quittance_protocol::SettleResponse;
use tokio::sync::oneshot;

use crate::body::{Live, OnSent, until};
use crate::middleware::Served;
use crate::receipt;
use crate::run::Client;

/// What the client is still to be given.
struct Held {
    request: Option<HttpRequest>,
    response: HttpResponse<()>,
    client: Client,
    reader: DraftReader,
    on_sent: OnSent,
    alive: oneshot::Sender<()>,
}

pub(crate) struct Head {
    held: Option<Held>,
    reader: ReaderHandle,
    over: oneshot::Receiver<()>,
}

impl Head {
    pub(crate) fn new(
        request: Option<HttpRequest>,
        response: HttpResponse<()>,
        client: Client,
        reader: DraftReader,
        on_sent: OnSent,
    ) -> Self {
        let (alive, over) = oneshot::channel();
        let handle = reader.handle();
        Self { held: Some(Held { request, response, client, reader, on_sent, alive }), reader: handle, over }
    }

    pub(crate) fn is_released(&self) -> bool {
        self.held.is_none()
    }

    /// Gives the client the head, and the reader behind it; once.
    pub(crate) fn release(&mut self, receipt: &SettleResponse, state: &'static str, size: BodySize) {
        let Some(held) = self.held.take() else { return };
        let Held { request, mut response, client, reader, on_sent, alive } = held;
        receipt::stamp(response.status(), response.headers_mut(), receipt, state);
        if size == BodySize::Sized(0) {
            // An empty body is never asked for its end.
            let response = response.set_body(BoxBody::new(()));
            if client.send(Served { request, response }).is_ok() {
                on_sent();
            }
            return;
        }
        let body = BoxBody::new(Live::new(reader, size, on_sent, alive));
        // A client that hung up gets its answer when it comes back with the payment.
        let _ = client.send(Served { request, response: response.set_body(body) });
    }

    /// Another answer in this one's place, if nothing was said yet.
    pub(crate) fn replace(self, response: HttpResponse<BoxBody>) {
        if let Some((request, client)) = self.take_back() {
            let _ = client.send(Served { request, response });
        }
    }

    /// The client, if nothing was said to it yet.
    pub(crate) fn take_back(self) -> Option<(Option<HttpRequest>, Client)> {
        self.held.map(|held| (held.request, held.client))
    }

    /// The answer is complete: its reader has so long to take it.
    pub(crate) fn give_up_after(self, reader_max: Duration) {
        let Self { reader, over, .. } = self;
        until(over, reader_max, move || reader.give_up());
    }
}
