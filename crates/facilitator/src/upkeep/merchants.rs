//! Who may sell, read again and again, and where they are paid.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quittance_ledger::LedgerError;
use tokio::time::Instant;

use crate::Inner;
use crate::metrics::trouble::Trouble;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

/// Pause between two looks at the day's sums.
const SUMS_PAUSE: Duration = Duration::from_secs(15);

/// Pause between two looks where merchants are paid.
const PAYOUTS_PAUSE: Duration = Duration::from_secs(2);

/// Reads the merchants, and now and then what they sold today.
struct Read {
    inner: Arc<Inner>,
    labels_max: usize,
    summed: Option<Instant>,
}

impl Task for Read {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            let failed = |error: LedgerError| TurnFailed::new(Trouble::Merchants, &error);
            self.inner.read_merchants().await.map_err(failed)?;
            if self.summed.is_none_or(|at| at.elapsed() >= SUMS_PAUSE) {
                let context = &self.inner.context;
                let today = context.ledger.merchant_totals(context.clock.now_ms()).await.map_err(failed)?;
                context.metrics.merchants(&self.named(), &today);
                self.summed = Some(Instant::now());
            }
            Ok(Next::Period)
        })
    }
}

impl Read {
    /// Those that have a label of their own: the first that were created.
    fn named(&self) -> Vec<String> {
        let mut open = self.inner.merchants.known.open();
        open.sort_by(|a, b| (a.created_at_ms, &a.name).cmp(&(b.created_at_ms, &b.name)));
        open.iter().take(self.labels_max).map(|merchant| merchant.name.clone()).collect()
    }
}

/// Looks where they are paid.
struct Paid(Arc<Inner>);

impl Task for Paid {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            self.0.look_at_payouts().await;
            Ok(Next::Period)
        })
    }
}

impl Inner {
    pub(crate) fn start_merchants(self: &Arc<Self>, refresh: Duration, labels_max: usize) {
        let inner = Arc::clone(self);
        let kind = Kind { first: refresh, ..Kind::new("merchants", refresh) };
        self.upkeep.start(kind, move || Read { inner: Arc::clone(&inner), labels_max, summed: None });
        let inner = Arc::clone(self);
        self.upkeep.start(Kind::new("merchant_payouts", PAYOUTS_PAUSE), move || Paid(Arc::clone(&inner)));
    }
}
