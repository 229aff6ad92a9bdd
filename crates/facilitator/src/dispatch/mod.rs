//! The owner of attempts: one lane for each wallet reserves, signs, records, sends, sends again
//! and uses up slots.
//!
//! A payment is given to one wallet's lane when its driver takes it on, and stays that wallet's for
//! all its attempts: whoever takes it on later finds it by them, or by its own message where that
//! names the wallet.
//!
//! Where another facilitator settles there are no lanes: the payment is sent to it, again and again
//! (`elsewhere.rs`).
//!
//! Owns signed bytes from the wish for them until their nonce is used and their cost booked.
//! May touch: `chain`, `metrics`, `context`, `remote`, `network`.
//! What is stuck in it: a payment that cannot be signed waits and is asked for again by its
//! driver; bytes go out again until there is a verdict; a slot whose payment is over is filled at
//! each look; a lane that broke begins anew, and the sweep finds its payments.

mod batch;
pub(crate) mod costs;
pub(crate) mod defect;
mod elsewhere;
pub(crate) mod lane;
mod perform;
mod replace;
pub(crate) mod step;

use std::sync::Arc;

use quittance_ledger::{Payment, Recorded};
use quittance_protocol::{Amount, Deadline, DurableAttempt as _, Network, PaymentId};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use self::defect::Defects;
use self::elsewhere::{Asked, Elsewhere};
use self::lane::LaneParts;
use self::perform::Shared;
use self::step::{Attempt, Seen, Start, Wallet};
use crate::chain::Verified;
use crate::context::Context;
use crate::network::configured::ConfiguredNetwork;
use crate::network::pool::{Held, Pool, PoolWallet};
use crate::remote::Named;

/// Requests that may queue up before their drivers wait for a place.
const REQUESTS_MAX: usize = 4_096;

/// Replies that a driver may leave unread: one to what it asked, and what was found of its
/// attempts meanwhile.
const REPLIES_MAX: usize = 4;

/// The way to the lanes of a network's wallets. Clones are one.
#[derive(Clone)]
pub(crate) struct Dispatch {
    /// One for each wallet, those that take new payments first.
    lanes: Arc<[Way]>,
    pool: Option<Arc<Pool>>,
    /// Who settles instead.
    elsewhere: Option<Arc<Elsewhere>>,
}

/// The way to one wallet's lane.
#[derive(Clone)]
struct Way {
    wallet: Arc<PoolWallet>,
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
}

/// What a lane is asked.
pub(crate) enum Request {
    /// A driver takes a payment on; it hears replies until it drops their receiver.
    Take {
        paid: Arc<Paid>,
        reserved: u128,
        found: Option<Vec<Arc<Recorded>>>,
        replies: mpsc::Sender<Heard>,
    },
    Want(PaymentId, Seen),
    Resume(PaymentId),
    Unwell(PaymentId),
    Failed(PaymentId, String),
    Over(PaymentId),
    Again(Arc<Recorded>),
}

/// What a driver hears.
pub(crate) enum Heard {
    /// All attempts of the payment, oldest first; they are sent as well. Said unasked where one
    /// was found that nobody was told of.
    Recorded(Vec<Arc<Recorded>>),
    /// Another facilitator is being asked.
    Asked,
    /// It says that this transaction has settled the payment.
    Named(Named),
    /// Nothing is signed for now.
    Waiting { retry: bool, reason: String },
    /// Somebody else owns the payment now, or may while the lease is lost, or it has its verdict
    /// already.
    Refused,
}

/// What a lane needs to know of a payment.
pub(crate) struct Paid {
    id: PaymentId,
    network: Network,
    payer: String,
    /// What it was charged for its settlement.
    gas: Amount,
    /// From when on it can no longer land.
    deadline: Deadline,
    verified: Verified,
}

impl Dispatch {
    /// The way to a network's lanes, and what these are made of, those of wallets that take new
    /// payments first. A retired wallet's lane finishes what it began.
    pub(crate) fn to(
        context: &Arc<Context>,
        net: &Arc<ConfiguredNetwork>,
        defects: &Defects,
    ) -> (Self, Vec<LaneParts>) {
        if let Some(elsewhere) = Elsewhere::of(context, net) {
            return (Self { elsewhere: Some(Arc::new(elsewhere)), ..Self::closed() }, Vec::new());
        }
        let takes_nonce = net.chain.facts().takes_nonce;
        let (mut ways, mut lanes) = (Vec::new(), Vec::new());
        for of in net.pool.all() {
            let (requests, incoming) = mpsc::channel(REQUESTS_MAX);
            // Without a budget nothing is replaced, not even for what was charged.
            let (signs, replaces) = (!of.retired, net.unwedge_day > 0);
            let wallet = Wallet { address: of.address.clone(), takes_nonce, signs, replaces };
            let (context, net) = (Arc::clone(context), Arc::clone(net));
            let stop = context.stop.clone();
            let defects = defects.of_wallet(&net.pool, &of.address);
            let shared = Shared { context, net, wallet: Arc::clone(of) };
            lanes.push(LaneParts { shared, wallet, requests: Arc::new(Mutex::new(incoming)), defects });
            ways.push(Way { wallet: Arc::clone(of), requests, stop });
        }
        let pool = Some(Arc::clone(&net.pool));
        (Self { lanes: ways.into(), pool, elsewhere: None }, lanes)
    }

    /// One that takes nothing: of a network that is not configured.
    pub(crate) fn closed() -> Self {
        Self { lanes: Vec::new().into(), pool: None, elsewhere: None }
    }

    /// Whose a payment is: of the wallet that signed for it, that its own message names, or else of
    /// the one that can best take it.
    fn way(&self, attempts: Option<&Arc<Recorded>>, named: Option<&str>) -> Option<&Way> {
        let pool = self.pool.as_ref()?;
        let signed = attempts.and_then(|newest| newest.wallet());
        let wallet = match signed.or(named) {
            Some(address) => pool.get(address).or_else(|| pool.choose()),
            None => pool.choose(),
        };
        self.lanes.iter().find(|way| wallet.is_some_and(|wallet| wallet.address == way.wallet.address))
    }

    /// Takes a payment on. `found`: its attempts, where an earlier driver may have left some.
    /// `None`: there is no lane.
    pub(crate) async fn take(
        &self,
        payment: &Payment,
        verified: Verified,
        reserved: u128,
        found: Option<Vec<Arc<Recorded>>>,
    ) -> Option<Ticket> {
        if let Some(elsewhere) = &self.elsewhere {
            return elsewhere.take(payment, &verified, found.as_deref()).map(Ticket::Elsewhere);
        }
        let newest = found.as_ref().and_then(|found| found.last());
        let way = self.way(newest, verified.wallet.as_deref())?.clone();
        let (replies, heard) = mpsc::channel(REPLIES_MAX);
        let held = way.wallet.hold(reserved);
        let paid = Arc::new(Paid {
            id: payment.id.clone(),
            network: payment.network.clone(),
            payer: payment.payer.clone(),
            gas: payment.settling(),
            deadline: payment.deadline,
            verified,
        });
        way.ask(Request::Take { paid, reserved, found, replies }).await;
        Some(Ticket::Lane(Hold { payment: payment.id.clone(), way, heard, _held: held }))
    }

    /// Sends durable bytes whose landing vanished once more.
    pub(crate) async fn again(&self, recorded: Recorded) {
        let recorded = Arc::new(recorded);
        // Anybody may send what takes no nonce.
        if let Some(way) = self.way(Some(&recorded), None).or_else(|| self.lanes.first()) {
            way.ask(Request::Again(recorded)).await;
        }
    }
}

impl Way {
    /// A lane that is gone says so where replies are awaited.
    async fn ask(&self, request: Request) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            _ = self.requests.send(request) => {}
        }
    }
}

/// A driver's hold on its payment; dropped, nothing more is signed, sent or asked for it.
pub(crate) enum Ticket {
    /// In one wallet's lane.
    Lane(Hold),
    /// At another facilitator, of which nothing but transactions is heard.
    Elsewhere(Asked),
}

/// A place in a lane.
pub(crate) struct Hold {
    payment: PaymentId,
    way: Way,
    heard: mpsc::Receiver<Heard>,
    /// It counts as the wallet's until then.
    _held: Held,
}

impl Hold {
    async fn heard(&mut self) -> Option<Heard> {
        tokio::select! {
            biased;
            () = self.way.stop.cancelled() => None,
            heard = self.heard.recv() => heard,
        }
    }
}

impl Ticket {
    /// Has the payment signed, recorded and sent, and sent again until it is over. `None`: the
    /// process stops, or the lane broke; whoever drives the payment next asks again. What comes
    /// first may have been found before this was asked; the reply is heard then.
    pub(crate) async fn want(&mut self, seen: Seen) -> Option<Heard> {
        match self {
            Self::Lane(hold) => {
                hold.way.ask(Request::Want(hold.payment.clone(), seen)).await;
                hold.heard().await
            }
            Self::Elsewhere(asked) => {
                asked.begin();
                Some(Heard::Asked)
            }
        }
    }

    /// What is said next, unasked too. `None` as for [`Ticket::want`]: nobody sends for this
    /// payment any more.
    pub(crate) async fn heard(&mut self) -> Option<Heard> {
        match self {
            Self::Lane(hold) => hold.heard().await,
            Self::Elsewhere(asked) => asked.heard().await,
        }
    }

    /// What is recorded goes on being sent.
    pub(crate) async fn resume(&self) {
        self.tell(Request::Resume).await;
    }

    /// The chain would not take it now: what it holds and has not signed for is free.
    pub(crate) async fn unwell(&self) {
        self.tell(Request::Unwell).await;
    }

    /// An attempt was included and failed, and what it burnt is in the ledger.
    pub(crate) async fn failed(&self, transaction: String) {
        self.tell(|payment| Request::Failed(payment, transaction)).await;
    }

    /// The payment has its verdict.
    pub(crate) async fn over(&self) {
        self.tell(Request::Over).await;
    }

    /// Nobody else has to be told: what this process asks for ends with the ticket.
    async fn tell(&self, request: impl FnOnce(PaymentId) -> Request) {
        if let Self::Lane(hold) = self {
            hold.way.ask(request(hold.payment.clone())).await;
        }
    }
}

/// An attempt without its bytes.
fn attempt_of(recorded: &Recorded) -> Attempt {
    Attempt {
        id: recorded.attempt(),
        transaction: recorded.transaction().to_owned(),
        payments: recorded.payments().to_vec(),
        nonce: recorded.nonce(),
    }
}

fn start_of(reserved: u128, found: Option<&[Arc<Recorded>]>) -> Start {
    let attempts = found.unwrap_or_default().iter().map(|one| attempt_of(one)).collect();
    Start { reserved, attempts, found: found.is_some() }
}
