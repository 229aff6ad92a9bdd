//! How a process holds a ledger: what is no operation on its rows.

use async_trait::async_trait;

use crate::ledger::Ledger;
#[cfg(feature = "model")]
use crate::model::ModelLedger;

/// A process's hold on its ledger.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// See [`Ledger::lease_ms`].
    fn lease_ms(&self) -> Option<i64>;

    /// See [`Ledger::clock_skew_ms`].
    fn clock_skew_ms(&self) -> Option<i64>;

    /// See [`Ledger::close`].
    async fn close(&self);
}

#[async_trait]
impl Access for Ledger {
    fn lease_ms(&self) -> Option<i64> {
        Ledger::lease_ms(self)
    }

    fn clock_skew_ms(&self) -> Option<i64> {
        Ledger::clock_skew_ms(self)
    }

    async fn close(&self) {
        Ledger::close(self.clone()).await;
    }
}

#[cfg(feature = "model")]
#[async_trait]
impl Access for ModelLedger {
    fn lease_ms(&self) -> Option<i64> {
        ModelLedger::lease_ms(self)
    }

    fn clock_skew_ms(&self) -> Option<i64> {
        None
    }

    async fn close(&self) {
        ModelLedger::close(self);
    }
}
