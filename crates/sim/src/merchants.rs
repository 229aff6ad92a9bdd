//! Foreign servers, which send no request: each `success: true` runs a handler
//! of theirs, and some run it on `isValid: true` already.

use std::sync::Arc;

use quittance_facilitator::SettleAnswer;
use quittance_protocol::{
    ErrorCode, Fingerprint, PaymentRequirements, SellerTerms, SettleRequest, SettleResponse, X402_VERSION,
};
use serde_json::{Map, json};

use crate::client::Client;
use crate::clients::{payload, some_front};
use crate::stats::Fault;
use crate::world::Handle;
use crate::world::link::{Front, Link};

/// A server that verifies, settles, and asks again until it knows; and then, now
/// and then, once more, as it does for a customer who sends the header again.
pub(crate) async fn sell(world: Handle, client: Client, merchant: &'static str) {
    world.with(|w| {
        w.waiting = w.waiting.saturating_add(1);
        *w.audit.asking.entry(client.key).or_default() += 1;
    });
    let mut again = world.with(|w| [0, 0, 0, 1, 3][w.random.below(5) as usize]);
    loop {
        let done = ask(&world, &client, merchant).await;
        if world.with(|w| w.over || w.gives_up(client.key)) || (done && again == 0) {
            break;
        }
        if done {
            again -= 1;
        }
        world.sleep(500, 4_000).await;
    }
    world.with(|w| {
        w.waiting = w.waiting.saturating_sub(1);
        *w.audit.asking.entry(client.key).or_default() -= 1;
    });
}

/// Who asked for what, for the auditor.
pub(crate) struct Sale<'a> {
    pub(crate) client: &'a Client,
    pub(crate) merchant: &'static str,
    pub(crate) fingerprint: Fingerprint,
}

/// Whether there is nothing more to ask.
async fn ask(world: &Handle, client: &Client, merchant: &'static str) -> bool {
    let Some(front) = some_front(world) else { return false };
    let Some(request) = request(world, &front, client) else { return false };
    let fingerprint = Fingerprint::of_merchant(merchant, &SellerTerms::of(&request.payment_requirements));
    let sale = Sale { client, merchant, fingerprint };
    if world.with(|w| w.random.chance(400)) {
        let asked = world.with(|w| w.asked(client.key));
        let verified = tokio::select! {
            biased;
            () = front.link.died() => return false,
            verified = front.facilitator.verify(request.clone(), merchant) => verified,
        };
        world.with(|w| w.audit_verified(&sale, &asked, verified.is_valid));
    }
    let gone_after = world.with(|w| {
        let gone = w.fault(w.plan.weather.hang_up, Fault::HangUp);
        gone.then(|| w.random.range(0, 4_000))
    });
    let hangs_up = async {
        match gone_after {
            Some(ms) => world.sleep(ms, ms).await,
            None => std::future::pending().await,
        }
    };
    let begun = world.with(|w| w.calls);
    let answer = tokio::select! {
        biased;
        () = front.link.died() => return false,
        answer = front.facilitator.settle(request, merchant) => answer,
        // What was said to nobody runs nothing.
        () = hangs_up => return false,
    };
    let Some(answer) = hear(world, &front.link, &sale, answer).await else { return false };
    world.with(|w| {
        w.say(|| format!("key {}: {merchant} gets {} {:?}", client.key, answer.success, answer.error_reason));
        w.audit_settled(&front.link, &sale, begun, &answer);
    });
    is_final(&answer)
}

/// A server that works before it settles asks once, and is not heard of again.
pub(crate) async fn only_verify(world: &Handle, client: &Client) {
    let Some(front) = some_front(world) else { return };
    let Some(request) = request(world, &front, client) else { return };
    let asked_ms = world.with(|w| w.now());
    let verified = tokio::select! {
        biased;
        () = front.link.died() => return,
        verified = front.facilitator.verify(request, "shop") => verified,
    };
    if verified.is_valid {
        world.with(|w| w.audit_held(client.key, asked_ms));
    }
}

/// The question; some customers have it asked for another order.
fn request(world: &Handle, front: &Front, client: &Client) -> Option<SettleRequest> {
    let mut payload = payload(world, front, client)?;
    let mut wanted: PaymentRequirements = payload.accepted.clone();
    wanted.amount = world.with(|w| w.facts[client.key].amount).to_string();
    if world.with(|w| w.fault(w.plan.weather.other_request / 2, Fault::OtherTerms)) {
        wanted.extra.insert("memo".to_owned(), json!("another order"));
    }
    payload.accepted = wanted.clone();
    Some(SettleRequest {
        x402_version: X402_VERSION,
        payment_payload: payload,
        payment_requirements: wanted,
        other: Map::new(),
    })
}

/// The way of the answer over the connection; `None` if the server got nothing.
async fn hear(
    world: &Handle,
    link: &Arc<Link>,
    sale: &Sale<'_>,
    answer: SettleAnswer,
) -> Option<SettleResponse> {
    let SettleAnswer { response, telling } = answer;
    if response.success && telling.is_none() {
        world.with(|w| w.broken("P1", format!("key {}: a success that nobody holds", sale.client.key)));
    }
    let Some(mut telling) = telling else { return Some(response) };
    // The connection's task runs when it runs; its process may stand still first.
    world.sleep(0, 30).await;
    tokio::select! {
        biased;
        () = link.died() => return None,
        () = link.alive() => {}
    }
    // Closed meanwhile, and seen: nothing goes out.
    if world.with(|w| w.fault(w.plan.weather.hang_up / 2, Fault::HangUp)) || !telling.give() {
        return None;
    }
    if world.with(|w| w.fault(w.plan.weather.hang_up, Fault::CutWhileTold)) {
        return None;
    }
    world.with(|w| w.audit_heard(link, sale));
    telling.taken();
    Some(response)
}

fn is_final(answer: &SettleResponse) -> bool {
    answer.success
        || !matches!(
            answer.error_reason,
            Some(
                ErrorCode::SettlementPending
                    | ErrorCode::NetworkUnavailable
                    | ErrorCode::UnexpectedSettleError
            )
        )
}
