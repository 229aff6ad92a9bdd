//! What a process was told, and what it may do with it: sell nothing that it knows
//! to fail, and claim nothing on a view of the chain that is old.

use std::sync::Arc;

use quittance_facilitator::Defect;
use quittance_facilitator::chain::ChainView;
use quittance_ledger::model::Attempt;
use quittance_ledger::{NewClaim, Origin};
use quittance_protocol::PaymentRequirements;

use crate::endpoints::STALE_MS;
use crate::plan::{BLOCK_MS_MAX, Net};
use crate::settings::{name, network, number_of_wallet};
use crate::solana::SLOT_MS;
use crate::world::World;
use crate::world::link::Link;

/// How old a claim's view of the chain may be: an endpoint that has just begun to
/// stand still, a block, and a slow way there.
const VIEW_MS_MAX: u64 = STALE_MS + BLOCK_MS_MAX + 4_000;

impl World {
    /// A chain says that a payment would land: from how old a head.
    pub(crate) fn note_view(&mut self, process: usize, key: Option<usize>, view: Option<&ChainView>) {
        if let Some((key, view)) = key.zip(view) {
            let now = self.now();
            self.audit.views.insert((process, key), (now, view.watch_from));
        }
    }

    /// An offer: of no network that is known to be closed.
    pub(crate) fn audit_offered(&mut self, link: &Link, accepts: &[PaymentRequirements]) {
        for net in [Net::Base, Net::Solana] {
            let offered = accepts.iter().any(|one| one.network == network(net));
            if offered && link.closed_since(net).is_some() {
                self.broken("P3", format!("{net:?} is offered, and is known to take no payment"));
            }
            if offered && self.is_retired_for(link, net) {
                self.broken("P3", format!("{net:?} is offered, and is retired"));
            }
        }
        let named = accepts.iter().filter_map(|one| one.extra.get("feePayer")?.as_str());
        let named: Vec<usize> = named.filter_map(|wallet| number_of_wallet(Net::Solana, wallet)).collect();
        for wallet in named {
            self.audit_chosen(link, (Net::Solana, wallet), u64::MAX, "an offer");
        }
    }

    /// A wallet is given something new: it is not retired, and holds plenty unless no other does.
    /// `since_ms` is when what it is given began.
    fn audit_chosen(&mut self, link: &Link, (net, wallet): (Net, usize), since_ms: u64, what: &str) {
        if link.has_retired(wallet) {
            self.broken("P3", format!("{what} is given to wallet {wallet} of {net:?}, which is retired"));
        }
        // For a while after its lane broke a wallet is held up, whatever it holds.
        let breaks = self.plan.lane == Some(Defect::Breaks);
        if !breaks && link.should_hand_over(net, wallet).is_some_and(|since| since < since_ms) {
            let why = "holds little while another one has plenty";
            self.broken("P3", format!("{what} is given to wallet {wallet} of {net:?}, which {why}"));
        }
    }

    /// Signed bytes of a payment: all of one wallet, and the first not of one that takes nothing new.
    pub(crate) fn audit_wallet(&mut self, key: usize, before: &[Attempt], attempt: &Attempt) {
        if let Some(first) = before.first().filter(|first| first.wallet != attempt.wallet) {
            let (one, other) = (&first.wallet, &attempt.wallet);
            self.broken("I10", format!("key {key} has attempts of two wallets, {one:?} and {other:?}"));
        }
        let first = attempt.wallet.as_deref().filter(|_| before.is_empty());
        let Some(wallet) = first.and_then(|wallet| number_of_wallet(Net::Base, wallet)) else { return };
        let owner = self.row(key).map(|payment| payment.owner);
        let process = (0..self.plan.processes).find(|process| owner.as_deref() == Some(&name(*process)));
        let Some(process) = process else { return };
        // While it boots it has no front, and knows nothing yet.
        let link = self.fronts[process].as_ref().map(|front| Arc::clone(&front.link));
        let claimed_ms = self.audit.claimed_ms.get(&key).copied().unwrap_or(0);
        match link {
            Some(link) => self.audit_chosen(&link, (Net::Base, wallet), claimed_ms, "a payment"),
            None if self.moved[process] && self.plan.retires_wallet && wallet == 0 => {
                self.broken("P3", format!("key {key} is given to a wallet that is retired"));
            }
            None => {}
        }
    }

    /// A claim is on its way to the ledger: `asked_ms` is when its process looked for it.
    pub(crate) fn audit_claims_view(&mut self, link: &Link, new: &NewClaim, asked_ms: u64) {
        let Some(key) = self.keys.get(&new.key).copied() else { return };
        let net = self.facts[key].net;
        // A server that verifies looks for the key beside its own claim.
        let gate = new.origin == Origin::Gate;
        if gate && link.closed_since(net).is_some_and(|since| since < asked_ms) {
            self.broken("P3", format!("key {key} is claimed, and {net:?} is known to take no payment"));
        }
        let fee_payer = (net == Net::Solana).then_some(self.facts[key].wallet);
        let empty_since = fee_payer.and_then(|wallet| link.empty_since(net, wallet));
        if gate && empty_since.is_some_and(|since| since < asked_ms) {
            self.broken("P3", format!("key {key} is claimed, and its fee payer is known to be empty"));
        }
        let view = self.audit.views.get(&(link.process, key)).copied();
        let Some((at_ms, _)) = view.filter(|(_, head)| *head == new.watch_from) else { return };
        let head_ms = match net {
            Net::Base => self.base.time_ms(new.watch_from),
            Net::Solana => new.watch_from.saturating_mul(SLOT_MS),
        };
        let old = at_ms.saturating_sub(head_ms);
        if old > VIEW_MS_MAX {
            self.broken("I4", format!("key {key} is claimed on a head that was {old} ms old"));
        }
    }

    /// A process renewed its lease just now.
    pub(crate) fn note_lease(&mut self, process: usize) {
        let until = self.now().saturating_add(self.plan.lease_ms);
        self.audit.lease_until.insert(process, until);
    }

    /// The newest life of each process, as the ledger counts them.
    pub(crate) fn epochs(&self) -> Vec<i64> {
        self.database
            .with(|rows| (0..self.plan.processes).map(|process| rows.epoch(&name(process))).collect())
    }

    /// Somebody took over what dead ones left: nothing of who keeps its lease (P1).
    pub(crate) fn audit_fenced(&mut self, by: usize, before: &[i64]) {
        let now = self.now();
        for (process, (before, after)) in before.iter().zip(self.epochs()).enumerate() {
            let keeps = self.audit.lease_until.get(&process).is_some_and(|until| *until > now);
            if process != by && *before != after && keeps {
                self.broken("P1", format!("process {by} takes over from {process}, which keeps its lease"));
            }
        }
    }

    /// Whether the operator's change has retired this network.
    pub(crate) fn is_retired(&self, net: Net) -> bool {
        let changed = self.plan.moves_ms.is_some_and(|at| self.now() >= at);
        changed && self.plan.retires == Some(net)
    }

    fn is_retired_for(&self, link: &Link, net: Net) -> bool {
        self.plan.retires == Some(net) && link.has_moved
    }

    /// Who has signed nothing and is offered nothing any more goes elsewhere.
    pub(crate) fn gives_up(&self, key: usize) -> bool {
        let fact = &self.facts[key];
        !fact.signed && self.is_retired(fact.net)
    }
}
