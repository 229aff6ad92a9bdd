//! Foreign servers, which send no request: each `success: true` runs a handler
//! of theirs.

use quittance_protocol::{ErrorCode, SettleRequest, SettleResponse, X402_VERSION};
use serde_json::Map;

use crate::clients::{Client, payload, some_front};
use crate::stats::Fault;
use crate::world::Handle;

/// A server that verifies, settles, and re-sends after `settlement_pending`.
pub(crate) async fn sell(world: Handle, client: Client, merchant: &'static str) {
    world.with(|w| w.waiting = w.waiting.saturating_add(1));
    loop {
        let done = ask(&world, &client, merchant).await;
        if done || world.with(|w| w.over) {
            break;
        }
        world.sleep(500, 4_000).await;
    }
    world.with(|w| w.waiting = w.waiting.saturating_sub(1));
}

/// Whether there is nothing more to ask.
async fn ask(world: &Handle, client: &Client, merchant: &'static str) -> bool {
    let Some(front) = some_front(world) else { return false };
    let Some(payload) = payload(world, &front, client) else { return false };
    let mut wanted = payload.accepted.clone();
    wanted.amount = world.with(|w| w.facts[client.key].amount).to_string();
    let request = SettleRequest {
        x402_version: X402_VERSION,
        payment_payload: payload,
        payment_requirements: wanted,
        other: Map::new(),
    };
    if world.with(|w| w.random.chance(400)) {
        let begun = world.with(|w| w.calls);
        let verified = tokio::select! {
            biased;
            () = front.link.died() => return false,
            verified = front.facilitator.verify(request.clone()) => verified,
        };
        world.with(|w| w.audit_verified(client, begun, verified.is_valid));
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
    world.with(|w| {
        w.say(|| format!("key {}: {merchant} gets {} {:?}", client.key, answer.success, answer.error_reason));
        w.audit_settled(&front.link, client, merchant, begun, &answer);
    });
    is_final(&answer)
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
