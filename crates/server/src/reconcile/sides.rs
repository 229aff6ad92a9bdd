//! Both sides, page by page.

use async_trait::async_trait;
use quittance_facilitator::chain::{Transfer, TransferHistory, TransferQuery};
use quittance_facilitator::reconcile::{Broken, Pages};
use quittance_ledger::{BookedLanding, LandingFilter, Ledger};

/// What arrived, as the chain shows it.
pub(super) struct ChainPages<'a> {
    history: &'a dyn TransferHistory,
    query: &'a TransferQuery,
    from: Option<String>,
    is_over: bool,
}

impl<'a> ChainPages<'a> {
    pub(super) fn new(history: &'a dyn TransferHistory, query: &'a TransferQuery) -> Self {
        Self { history, query, from: None, is_over: false }
    }
}

#[async_trait]
impl Pages<Transfer> for ChainPages<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Transfer>>, Broken> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.history.transfers(self.query, self.from.as_deref()).await;
        let page = page.map_err(|fault| Broken::Unread(fault.to_string()))?;
        self.is_over = page.next.is_none();
        self.from = page.next;
        Ok(Some(page.transfers))
    }
}

/// What is booked.
pub(super) struct BookPages<'a> {
    ledger: &'a Ledger,
    filter: LandingFilter,
    is_over: bool,
}

impl<'a> BookPages<'a> {
    pub(super) fn new(ledger: &'a Ledger, filter: LandingFilter) -> Self {
        Self { ledger, filter, is_over: false }
    }
}

#[async_trait]
impl Pages<BookedLanding> for BookPages<'_> {
    async fn next(&mut self) -> Result<Option<Vec<BookedLanding>>, Broken> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.ledger.booked_landings(self.filter.clone()).await;
        let page = page.map_err(|error| Broken::Unread(error.to_string()))?;
        match page.last() {
            Some(last) => self.filter.before = Some((last.block, last.id.clone())),
            None => self.is_over = true,
        }
        Ok(Some(page))
    }
}
