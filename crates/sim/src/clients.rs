//! People who pay, copy, hang up, come back and steal.

use quittance_facilitator::{PayOutcome, Sale};
use quittance_protocol::{Amount, IdentifierHash, PaymentPayload, ResourceRef, X402_VERSION};
use serde_json::{Map, json};

use crate::client::{Client, Said, fingerprint};
use crate::handlers::{replayed, served};
use crate::plan::Net;
use crate::settings::network;
use crate::stats::Fault;
use crate::world::Handle;
use crate::world::link::Front;

/// Price of the service, in atomic units.
pub(crate) const SERVICE: u64 = 10_000;

/// Looks for a process that serves; `None` for the time being.
pub(crate) fn some_front(world: &Handle) -> Option<Front> {
    world.with(|w| {
        let at = w.random.below(w.fronts.len() as u64);
        let now = w.now();
        let front = w.fronts.get(usize::try_from(at).ok()?)?.clone()?;
        (!front.link.stands_still(now)).then_some(front)
    })
}

/// A payer who asks for an offer, signs, sends, and does so until there is an answer.
pub(crate) async fn pay(world: Handle, client: Client) {
    world.with(|w| w.waiting = w.waiting.saturating_add(1));
    loop {
        let said = ask(&world, &client).await;
        world.with(|w| w.say(|| format!("key {}: {client:?} gets {said:?}", client.key)));
        if said.is_final() || world.with(|w| w.over || w.gives_up(client.key)) {
            break;
        }
        world.sleep(1_000, 5_000).await;
    }
    world.with(|w| w.waiting = w.waiting.saturating_sub(1));
}

/// A payer whose SDK knows nothing of payments: told 503 or 500, it (or whoever it
/// hands that to) makes the same call again, asks for an offer, and signs anew.
/// What it was never told it sends again as it is.
pub(crate) async fn repeat(world: Handle, mut client: Client) {
    world.with(|w| w.waiting = w.waiting.saturating_add(1));
    loop {
        let said = ask(&world, &client).await;
        world.with(|w| w.say(|| format!("key {}: {client:?} gets {said:?}", client.key)));
        if said.is_final() || world.with(|w| w.over || w.gives_up(client.key)) {
            break;
        }
        world.sleep(500, 5_000).await;
        world.with(|w| {
            if w.signs_anew(&client, &said) {
                client.key = w.sign_again(client.key);
                client.identifier = w.facts[client.key].identifier.clone();
            }
        });
    }
    world.with(|w| w.waiting = w.waiting.saturating_sub(1));
}

pub(crate) async fn ask(world: &Handle, client: &Client) -> Said {
    let Some(front) = some_front(world) else { return Said::Nothing };
    let Some(payload) = payload(world, &front, client) else { return Said::Unavailable };
    let sale = Sale {
        service: Amount::new(SERVICE),
        fingerprint: fingerprint(client.call, client.request),
        resource: "POST /".to_owned(),
        identifier: client.identifier.as_deref().map(IdentifierHash::of),
        idempotency: None,
        malformed: None,
        caller: Default::default(),
    };
    let (begun, asked_ms) = world.with(|w| (w.calls, w.now()));
    let gone_after = world.with(|w| {
        let gone = !client.last && w.fault(w.plan.weather.hang_up, Fault::HangUp);
        gone.then(|| w.random.range(0, 4_000))
    });
    let hangs_up = async {
        match gone_after {
            Some(ms) => world.sleep(ms, ms).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        biased;
        () = front.link.died() => return Said::Nothing,
        outcome = front.facilitator.pay(payload, sale) => outcome,
        () = hangs_up => return Said::Nothing,
    };
    let said = match outcome {
        PayOutcome::Granted(grant) => served(world, &front, client, grant).await,
        PayOutcome::Answered { payment, answer, .. } => {
            world.with(|w| w.audit_replay(client, asked_ms));
            match replayed(world, &front, client.key, &payment, &answer).await {
                Some(()) => Said::Replayed,
                None => Said::Unavailable,
            }
        }
        PayOutcome::Pending { .. } => Said::Pending,
        PayOutcome::Refused(rejection) => Said::Refused(rejection.code),
        PayOutcome::Conflict { code, .. } => Said::Conflict(code),
        PayOutcome::Unavailable { .. } => Said::Unavailable,
    };
    world.with(|w| w.audit_said(&front.link, client, begun, &said));
    said
}

/// The signed payment; the first one who asks makes it from a fresh offer.
pub(crate) fn payload(world: &Handle, front: &Front, client: &Client) -> Option<PaymentPayload> {
    let before = world.with(|w| w.calls);
    let (service, resource) =
        (Amount::new(SERVICE), ResourceRef { url: "/", description: None, mime_type: None });
    // As the gate writes it, and as others may ask for it.
    let written = front.facilitator.write_offer(service, resource, "pay", &mut Vec::new());
    let offer = front.facilitator.offer(service, resource, "pay");
    world.with(|w| w.audit_offer(before, written.is_ok() == offer.is_ok()));
    if let Ok(offer) = &offer {
        world.with(|w| w.audit_offered(&front.link, &offer.accepts));
    }
    let net = world.with(|w| w.facts[client.key].net);
    let known = world.with(|w| w.facts[client.key].signed);
    let accepted = match offer {
        Ok(offer) => offer.accepts.into_iter().find(|one| one.network == network(net)),
        Err(_) => None,
    };
    let accepted = match (known, accepted) {
        // Who has signed sends the same bytes again, whatever is offered by now.
        (true, _) => world.with(|w| w.audit.accepted.get(&client.key).cloned())?,
        (false, Some(accepted)) => accepted,
        (false, None) => return None,
    };
    if !known {
        let amount = accepted.amount()?.atomic();
        world.with(|w| w.sign_payment(client.key, amount, &accepted));
    }
    let mut extensions = Map::new();
    if let Some(id) = &client.identifier {
        extensions.insert("payment-identifier".to_owned(), json!({ "info": { "id": id } }));
    }
    Some(PaymentPayload {
        x402_version: X402_VERSION,
        resource: None,
        accepted,
        payload: json!({ "key": client.key, "digest": client.digest }),
        extensions,
        other: Map::new(),
    })
}

/// Reads the chain and replays what landed, without the identifier.
pub(crate) async fn thief(world: Handle, key: usize) {
    for _ in 0..30 {
        world.sleep(2_000, 4_000).await;
        let (landed, calm) = world.with(|w| {
            let landed = match w.facts[key].net {
                Net::Base => w.base.used(key, w.base.head()).is_some(),
                Net::Solana => w.solana.status(key, crate::solana::slot(w.now())).is_some(),
            };
            (landed, w.calm)
        });
        if calm {
            return;
        }
        if landed {
            let client =
                Client { key, call: key, request: 1, digest: 0, identifier: None, thief: true, last: false };
            ask(&world, &client).await;
        }
    }
}
