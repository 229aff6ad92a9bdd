//! One wrapper around every operation of a store, whatever it does there:
//! measure, slow down, refuse, lose an answer.

use std::future::Future;

use async_trait::async_trait;

use super::access::Access;
use super::call::Call;
use super::groups::*;
use super::list::*;
use crate::error::LedgerError;

/// What is done around each operation of a [`Hooked`] store.
pub trait Hook: Send + Sync + 'static {
    /// What it keeps of a call, from before it to after it.
    type Kept: Send;

    /// Looks at a call before it happens, and may change its arguments. An error
    /// is the call's answer; the operation is never begun.
    fn before(&self, call: Call<'_, '_>) -> Result<Self::Kept, LedgerError>;

    /// Does the operation: nothing of it has happened until `run` is first polled,
    /// and what is returned is the call's answer, whatever `run` gave.
    fn around<T: Send + 'static>(
        &self,
        kept: Self::Kept,
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send;
}

/// A store with a [`Hook`] around each operation; a [`Store`](super::Store) itself.
#[derive(Debug)]
pub struct Hooked<S, H> {
    inner: S,
    hook: H,
}

impl<S, H> Hooked<S, H> {
    /// The hook goes around every operation of `inner`.
    pub const fn new(inner: S, hook: H) -> Self {
        Self { inner, hook }
    }
}

#[async_trait]
impl<S: Access, H: Hook> Access for Hooked<S, H> {
    fn lease_ms(&self) -> Option<i64> {
        self.inner.lease_ms()
    }

    fn clock_skew_ms(&self) -> Option<i64> {
        self.inner.clock_skew_ms()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

macro_rules! hooked {
    ($($(#[$doc:meta])* trait $group:ident {
        $($variant:ident $kind:ident $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*
    })*) => {
        $(
            #[async_trait]
            #[allow(clippy::extra_unused_lifetimes, reason = "one pattern for all operations")]
            impl<S: $group, H: Hook> $group for Hooked<S, H> {
                $(
                    async fn $name<'a>(&self, $($argument: $type),*) -> Result<$answer, LedgerError> {
                        $(let mut $argument = $argument;)*
                        let kept = self.hook.before(Call::$variant { $($argument: &mut $argument),* })?;
                        self.hook.around(kept, $group::$name(&self.inner, $($argument),*)).await
                    }
                )*
            }
        )*
    };
}

operations!(hooked);
