//! Randomness, injected so that simulators own it.

use std::sync::Arc;

/// Where fresh names come from.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> [u8; 16] + Send + Sync>);

impl Random {
    /// The machine's.
    #[allow(clippy::disallowed_methods, reason = "the one place that owns randomness")]
    pub fn system() -> Self {
        Self(Arc::new(rand::random))
    }

    /// Any other source; `draw` gives sixteen bytes that nobody can guess and
    /// that never come again.
    pub fn from_fn(draw: impl Fn() -> [u8; 16] + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    pub(crate) fn draw(&self) -> [u8; 16] {
        (self.0)()
    }
}
