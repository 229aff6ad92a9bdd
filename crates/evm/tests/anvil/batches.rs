//! Several payments in one transaction, through the real Multicall3 to Circle's real token.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quittance_chain::{Batch, BatchItem, Chain, Rehearsal, Verified, Watched};
use quittance_evm::{ADDRESS_MULTICALL3, EvmChain, EvmConfig, EvmPayment, Rpc};
use quittance_protocol::{DurableAttempt, Evidence, Landing, Network, Secret, SendOutcome, SignedBytes};

use crate::shared::{BURNS, DELEGATION, SAYS_YES, connected, key_of, mint_to_all, nonce_of, signed};
use crate::support::{Counting, Devnet, FOREIGN_KEY, PAY_TO, Token, WALLET_KEY, devnet, now, payer, settle};

/// Whoever waits longer than this for a block of one second has found a defect.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each payment is charged: enough for the highest fee cap, which the test chain is far below.
const CHARGED: u128 = 88_000 * 20_000_000_000;

struct Attempt(SignedBytes);

impl DurableAttempt for Attempt {
    fn raw_bytes(&self) -> &[u8] {
        &self.0.raw
    }

    fn transaction(&self) -> &str {
        &self.0.transaction
    }
}

/// A chain as a facilitator has it, with fees read, and so many payers with money.
async fn batching(net: &Devnet, payers: u32) -> (Chain, Arc<Counting>) {
    mint_to_all(net, 1..=payers).await;
    net.mint(PAY_TO, 1).await;
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    let chain = connected(chain);
    chain.costs().unwrap().refresh(0).await.unwrap();
    (chain, counting)
}

fn port(chain: &Chain) -> &dyn Batch {
    chain.batch().expect("Multicall3 is there")
}

fn item(net: &Devnet, chain: &Chain, number: u32) -> BatchItem {
    let payment = chain.verify().unwrap().check_local(&signed(net, number, now())).unwrap();
    BatchItem { payment, charged_native: CHARGED }
}

fn items(net: &Devnet, chain: &Chain, numbers: impl Iterator<Item = u32>) -> Vec<BatchItem> {
    numbers.map(|number| item(net, chain, number)).collect()
}

fn wallet() -> String {
    payer(WALLET_KEY).address()
}

async fn rehearse(chain: &Chain, items: &[BatchItem]) -> Vec<Rehearsal> {
    port(chain).rehearse(items, &wallet()).await.unwrap()
}

async fn sign(chain: &Chain, items: &[BatchItem]) -> Attempt {
    let nonce = chain.nonces().unwrap().next(&wallet()).await.unwrap();
    let bound = port(chain).batch_bound(items).unwrap();
    let signed = port(chain).sign_batch(items, &wallet(), nonce, bound).unwrap();
    assert!(signed.detail["cost_bound_wei"].as_str().unwrap().parse::<u128>().unwrap() <= bound);
    Attempt(signed)
}

async fn send(chain: &Chain, attempt: &Attempt) {
    let sent = chain.broadcast().unwrap().broadcast(attempt).await;
    assert_eq!(sent.outcome, SendOutcome::Accepted);
}

/// What the chain shows of each item once it shows something of all, in their order.
async fn evidence(chain: &Chain, items: &[BatchItem], attempt: &Attempt, nonce: u64) -> Vec<Evidence> {
    let watched: Vec<Watched> = items
        .iter()
        .map(|item| Watched {
            key: item.payment.key,
            payment: item.payment.clone(),
            transactions: vec![attempt.transaction().to_owned()],
            named: None,
            nonce: Some(nonce),
            wallet: Some(wallet()),
            watch_from: 0,
            deadline: item.payment.get::<EvmPayment>().unwrap().deadline(),
        })
        .collect();
    let mut found = std::collections::HashMap::new();
    #[allow(clippy::disallowed_methods, reason = "tests measure real time")]
    let start = Instant::now();
    while found.len() < items.len() {
        assert!(start.elapsed() < PATIENCE, "{} of {}", found.len(), items.len());
        let open: Vec<Watched> =
            watched.iter().filter(|one| !found.contains_key(&one.key)).cloned().collect();
        found.extend(chain.watch().unwrap().scan(&open, 0).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    items.iter().map(|item| found[&item.payment.key].clone()).collect()
}

fn landings(found: &[Evidence]) -> Vec<&Landing> {
    let mut landings = Vec::new();
    for one in found {
        if let Evidence::Settled(landing) = one {
            landings.push(landing);
        }
    }
    landings
}

/// Signs, sends and looks.
async fn settle_all(chain: &Chain, items: &[BatchItem]) -> (Attempt, Vec<Evidence>) {
    let nonce = chain.nonces().unwrap().next(&wallet()).await.unwrap();
    let attempt = sign(chain, items).await;
    send(chain, &attempt).await;
    let found = evidence(chain, items, &attempt, nonce).await;
    (attempt, found)
}

async fn gas_used(net: &Devnet, attempt: &Attempt) -> u64 {
    let receipt = net.receipt(attempt.transaction()).await;
    assert_eq!(receipt["status"], "0x1");
    u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap()
}

#[tokio::test]
async fn thirty_two_payments_share_a_transaction_and_each_has_its_own_log() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = batching(&net, 32).await;
    let items = items(&net, &chain, 1..=32);
    counting.take();
    assert_eq!(rehearse(&chain, &items).await, [Rehearsal::Moves; 32]);
    assert_eq!(counting.take(), ["eth_call"], "one call rehearses all of them");
    let before = net.tokens_of(PAY_TO).await;
    let nonce = chain.nonces().unwrap().next(&wallet()).await.unwrap();
    let attempt = sign(&chain, &items).await;
    send(&chain, &attempt).await;
    counting.take();
    let found = evidence(&chain, &items, &attempt, nonce).await;
    let receipts = counting.take().iter().filter(|method| *method == "eth_getTransactionReceipt").count();
    assert_eq!(receipts, 1, "one receipt tells of all of them");
    let landings = landings(&found);
    assert_eq!(landings.len(), 32);
    let logs: HashSet<Option<u64>> = landings.iter().map(|landing| landing.log_index).collect();
    assert!(logs.len() == 32 && !logs.contains(&None), "{logs:?}");
    assert!(landings.iter().all(|one| one.transaction == attempt.transaction() && one.paid_by_us));
    assert_eq!(net.tokens_of(PAY_TO).await - before, 3_200);
    let each = gas_used(&net, &attempt).await / 32;
    eprintln!("32 payments: {each} gas each");
    assert!(each <= 58_000, "{each}");
    let cost = landings[0].cost_native;
    assert!(cost <= attempt.0.detail["cost_bound_wei"].as_str().unwrap().parse().unwrap());
}

#[tokio::test]
async fn the_largest_batch_that_fits_settles() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = batching(&net, 1).await;
    let most = u32::try_from(port(&chain).items_max()).unwrap();
    mint_to_all(&net, 2..=most).await;
    chain.costs().unwrap().refresh(0).await.unwrap();
    let items = items(&net, &chain, 1..=most);
    assert_eq!(rehearse(&chain, &items).await, vec![Rehearsal::Moves; most as usize]);
    let (attempt, found) = settle_all(&chain, &items).await;
    assert_eq!(landings(&found).len(), most as usize);
    let each = gas_used(&net, &attempt).await / u64::from(most);
    eprintln!("{most} payments: {each} gas each, limit {}", attempt.0.detail["gas_limit"]);
    assert!(each <= 55_000, "{each}");
    assert!(attempt.0.detail["gas_limit"].as_u64().unwrap() <= 16_777_216);
    // One more than that is no batch.
    let one_more: Vec<BatchItem> = items.iter().chain(&items[..1]).cloned().collect();
    assert!(!port(&chain).batch_bound(&one_more).unwrap_err().retry);
}

/// Empties a payer with another authorization of its own, that somebody else lands.
async fn drain(net: &Devnet, number: u32) {
    let (stranger, _) = net.connect(FOREIGN_KEY, 0).await;
    let held = net.tokens_of(&payer(&key_of(number)).address()).await;
    let mut payload = net.payload(&key_of(number), held, 1);
    let exact = payer(&key_of(number)).sign_authorization(&net.requirements(held), now(), nonce_of(1 << 20));
    payload.payload = serde_json::to_value(exact.unwrap()).unwrap();
    let payment = stranger.check_timeless(&payload).unwrap();
    net.receipt(&settle(&stranger, &payment).await.transaction).await;
    assert_eq!(net.tokens_of(&payer(&key_of(number)).address()).await, 0);
}

#[tokio::test]
async fn of_thirty_two_of_whom_one_drains_after_the_rehearsal_thirty_one_settle() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = batching(&net, 32).await;
    let items = items(&net, &chain, 1..=32);
    assert_eq!(rehearse(&chain, &items).await, [Rehearsal::Moves; 32]);
    let nonce = chain.nonces().unwrap().next(&wallet()).await.unwrap();
    let attempt = sign(&chain, &items).await;
    drain(&net, 7).await;
    send(&chain, &attempt).await;
    let found = evidence(&chain, &items, &attempt, nonce).await;
    assert_eq!(landings(&found).len(), 31);
    assert!(
        matches!(&found[6], Evidence::Reverted(landing) if landing.log_index.is_none()),
        "{:?}",
        found[6]
    );
    // And it is not in the next one.
    assert_eq!(rehearse(&chain, &items[6..7]).await, [Rehearsal::Fails]);
}

#[tokio::test]
async fn what_would_fail_is_found_before_it_is_signed_and_the_rest_moves_without_it() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = batching(&net, 8).await;
    drain(&net, 2).await;
    let blacklisted = payer(&key_of(3)).address().parse().unwrap();
    net.as_owner(vec![alloy::sol_types::SolCall::abi_encode(&Token::blacklistCall { account: blacklisted })])
        .await;
    let used = item(&net, &chain, 4);
    let (stranger, _) = net.connect(FOREIGN_KEY, 0).await;
    net.receipt(&settle(&stranger, ours(&used.payment)).await.transaction).await;
    let mut all = items(&net, &chain, 1..=8);
    all[3] = used;
    let verify = chain.verify().unwrap();
    all[4].payment = verify.check_local(&signed(&net, 5, now() - 200)).unwrap();
    counting.take();
    let said = rehearse(&chain, &all).await;
    assert_eq!(counting.take(), ["eth_call"]);
    use Rehearsal::{Fails, Moves};
    assert_eq!(said, [Moves, Fails, Fails, Fails, Fails, Moves, Moves, Moves]);
    let rest: Vec<BatchItem> =
        all.iter().zip(&said).filter(|(_, said)| **said == Moves).map(|(item, _)| item.clone()).collect();
    assert_eq!(landings(&settle_all(&chain, &rest).await.1).len(), 4);
}

fn ours(payment: &Verified) -> &EvmPayment {
    payment.get::<EvmPayment>().unwrap()
}

#[tokio::test]
async fn a_payer_with_code_never_shares_and_none_of_its_code_is_run_beside_others() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = batching(&net, 6).await;
    let mut all = items(&net, &chain, 1..=6);
    // Local checks take it for a contract's: somebody else's key made it.
    let mut forged = signed(&net, 6, now());
    forged.payload["signature"] = signed(&net, 5, now()).payload["signature"].clone();
    all[5].payment = chain.verify().unwrap().check_local(&forged).unwrap();
    for code in [BURNS, SAYS_YES, DELEGATION] {
        for hostile in [1, 4] {
            net.set_code(&payer(&key_of(hostile)).address(), code).await;
        }
        counting.take();
        use Rehearsal::{HasCode, Moves};
        assert_eq!(rehearse(&chain, &all).await, [HasCode, Moves, Moves, HasCode, Moves, HasCode], "{code}");
        assert_eq!(counting.take(), ["eth_call"; 2], "once to find the code, once without them");
    }
    assert!(!port(&chain).batch_bound(&all).unwrap_err().retry, "a contract's word shares with nobody");
    assert!(port(&chain).sign_batch(&all[4..], &wallet(), 0, u128::MAX).is_err());
    assert!(port(&chain).sign_batch(&all[1..2], &wallet(), 0, u128::MAX).is_err(), "one goes alone");
    assert!(port(&chain).rehearse(&all, PAY_TO).await.is_err(), "no wallet of ours");
}

/// It burns what is reserved at most, takes nobody's payment away, and is found by the next rehearsal.
#[tokio::test]
async fn a_payer_who_gets_code_after_the_rehearsal_burns_the_gas_and_nobodys_payment() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = batching(&net, 8).await;
    let items = items(&net, &chain, 1..=8);
    assert_eq!(rehearse(&chain, &items).await, [Rehearsal::Moves; 8]);
    let nonce = chain.nonces().unwrap().next(&wallet()).await.unwrap();
    let attempt = sign(&chain, &items).await;
    net.set_code(&payer(&key_of(3)).address(), BURNS).await;
    send(&chain, &attempt).await;
    let found = evidence(&chain, &items, &attempt, nonce).await;
    let bound: u128 = attempt.0.detail["cost_bound_wei"].as_str().unwrap().parse().unwrap();
    // What is left is too little for Multicall3 to tell of the others: the whole is undone.
    for found in &found {
        let Evidence::Reverted(landing) = found else { panic!("{found:?}") };
        assert!(landing.cost_native <= bound, "{} {bound}", landing.cost_native);
    }
    let said = rehearse(&chain, &items).await;
    assert_eq!(said[2], Rehearsal::HasCode);
    let rest: Vec<BatchItem> = items
        .iter()
        .zip(&said)
        .filter(|(_, said)| **said == Rehearsal::Moves)
        .map(|(one, _)| one.clone())
        .collect();
    assert_eq!(rest.len(), 7, "their authorizations are unused: {said:?}");
    assert_eq!(landings(&settle_all(&chain, &rest).await.1).len(), 7);
}

#[tokio::test]
async fn the_cost_of_a_batch_fits_what_is_reserved_and_what_each_was_charged() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = batching(&net, 3).await;
    let mut items = items(&net, &chain, 1..=3);
    let lone: u128 = items
        .iter()
        .map(|item| chain.sign().unwrap().cost_bound(&item.payment, item.charged_native).unwrap())
        .sum();
    let bound = port(&chain).batch_bound(&items).unwrap();
    assert!(bound <= lone, "what was reserved for each alone suffices: {bound} {lone}");
    let cap = |signed: &SignedBytes| chain.nonces().unwrap().fee_cap(&signed.detail).unwrap();
    let dear = port(&chain).sign_batch(&items, &wallet(), 0, bound).unwrap();
    // The cheapest of them says what all may pay per gas (I10).
    let less = cap(&dear) - cap(&dear) / 8;
    items[1].charged_native = 88_000 * less;
    let cheap = port(&chain).sign_batch(&items, &wallet(), 0, bound).unwrap();
    assert_eq!(cap(&cheap), less);
    // And what is reserved bounds it once more (P3).
    let gas_limit = u128::from(dear.detail["gas_limit"].as_u64().unwrap());
    let reserved = cap(&dear) - cap(&dear) / 4;
    let least = port(&chain).sign_batch(&items, &wallet(), 0, gas_limit * reserved).unwrap();
    assert_eq!(cap(&least), reserved);
    assert!(port(&chain).sign_batch(&items, &wallet(), 0, gas_limit).unwrap_err().retry, "fees may fall");
    items[1].charged_native = 1;
    assert!(port(&chain).batch_bound(&items).unwrap_err().retry);
}

async fn with(net: &Devnet, change: impl FnOnce(&mut EvmConfig)) -> Chain {
    let chain = unpriced(net, change).await;
    chain.costs().unwrap().refresh(0).await.unwrap();
    chain
}

async fn unpriced(net: &Devnet, change: impl FnOnce(&mut EvmConfig)) -> Chain {
    let network: Network = Network::BASE.parse().unwrap();
    let mut config = EvmConfig::new(network, vec![net.url.clone()], net.token.to_string(), PAY_TO);
    config.max_fee_per_gas_wei = 20_000_000_000;
    change(&mut config);
    connected(EvmChain::connect(config, &Secret::new(WALLET_KEY)).await.unwrap())
}

/// The gas limit is the sum of what the items may use. Where that is too little it is found before
/// anything is signed, and is no success with nobody paid.
#[tokio::test]
async fn items_that_would_run_dry_are_found_by_the_rehearsal() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = batching(&net, 4).await;
    assert_eq!(rehearse(&chain, &items(&net, &chain, 1..=4)).await, [Rehearsal::Moves; 4]);
    let dry = with(&net, |config| config.settle_gas_expected = 21_000).await;
    // Or Multicall3 itself runs dry, which says nothing of any of them: each goes alone.
    let said = port(&dry).rehearse(&items(&net, &dry, 1..=4), &wallet()).await;
    assert!(!said.as_ref().is_ok_and(|said| !said.contains(&Rehearsal::Fails)), "{said:?}");
}

/// A node behind a gateway that passes no such question on is not asked it before every payment.
#[tokio::test]
async fn where_no_node_runs_rehearsals_each_goes_alone_for_a_while() {
    let Some(net) = devnet().await else { return };
    mint_to_all(&net, 1..=12).await;
    let network: Network = Network::BASE.parse().unwrap();
    let mut config = EvmConfig::new(network, vec![], net.token.to_string(), PAY_TO);
    config.max_fee_per_gas_wei = 20_000_000_000;
    let rpcs: Vec<Arc<dyn Rpc>> = vec![Counting::refusing_longer_than(&net, 4_500)];
    let chain = EvmChain::connect_with(config, &Secret::new(WALLET_KEY), rpcs).await.unwrap();
    let chain = connected(chain);
    chain.costs().unwrap().refresh(0).await.unwrap();
    let all = items(&net, &chain, 1..=12);
    assert_eq!(rehearse(&chain, &all[..2]).await, [Rehearsal::Moves; 2], "two are short enough");
    assert!(port(&chain).items_max() > 2);
    assert!(port(&chain).rehearse(&all, &wallet()).await.is_err());
    assert_eq!(port(&chain).items_max(), 0);
}

#[tokio::test]
async fn without_multicall3_at_its_address_or_gas_for_two_each_goes_alone() {
    let Some(net) = devnet().await else { return };
    let small = with(&net, |config| config.transaction_gas_max = 200_000).await;
    assert!(port(&small).items_max() < 2);
    let elsewhere = "0x00000000000000000000000000000000000ca11b".to_owned();
    let code = net.code_of(ADDRESS_MULTICALL3).await;
    net.set_code(&elsewhere, &code).await;
    let moved = with(&net, |config| config.multicall.clone_from(&elsewhere)).await;
    mint_to_all(&net, 1..=2).await;
    assert_eq!(rehearse(&moved, &items(&net, &moved, 1..=2)).await, [Rehearsal::Moves; 2]);
    // Another contract there could run what it likes.
    for other in [SAYS_YES, "0x"] {
        net.set_code(ADDRESS_MULTICALL3, other).await;
        assert!(unpriced(&net, |_| ()).await.batch().is_none(), "{other}");
    }
    let network: Network = Network::BASE.parse().unwrap();
    let mut config = EvmConfig::new(network, vec![net.url.clone()], net.token.to_string(), PAY_TO);
    PAY_TO.clone_into(&mut config.multicall);
    assert!(EvmChain::connect(config, &Secret::new(WALLET_KEY)).await.is_err());
}
