//! The traits of the port, for the ledger and for the model.

use async_trait::async_trait;

use super::list::*;
use crate::error::LedgerError;
use crate::ledger::Ledger;
#[cfg(feature = "model")]
use crate::model::ModelLedger;

macro_rules! groups {
    ($($(#[$doc:meta])* trait $group:ident {
        $($variant:ident $kind:ident $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*
    })*) => {
        $(
            $(#[$doc])*
            #[async_trait]
            #[allow(clippy::extra_unused_lifetimes, reason = "one pattern for all operations")]
            pub trait $group: Send + Sync + 'static {
                $(
                    #[doc = concat!("See [`Ledger::", stringify!($name), "`].")]
                    async fn $name<'a>(&self, $($argument: $type),*) -> Result<$answer, LedgerError>;
                )*
            }

            #[async_trait]
            #[allow(clippy::extra_unused_lifetimes, reason = "one pattern for all operations")]
            impl $group for Ledger {
                $(
                    async fn $name<'a>(&self, $($argument: $type),*) -> Result<$answer, LedgerError> {
                        Ledger::$name(self, $($argument),*).await
                    }
                )*
            }

            #[cfg(feature = "model")]
            #[async_trait]
            #[allow(clippy::extra_unused_lifetimes, reason = "one pattern for all operations")]
            impl $group for ModelLedger {
                $(
                    async fn $name<'a>(&self, $($argument: $type),*) -> Result<$answer, LedgerError> {
                        ModelLedger::$name(self, $($argument),*)
                    }
                )*
            }
        )*
    };
}

operations!(groups);
