//! The port through which everything above sees a ledger: small groups of
//! operations, and a hook around each of them.

mod access;
mod call;
mod groups;
mod hook;
mod list;

pub use access::Access;
pub use call::{Call, Operation};
pub use groups::{
    AnswerObjects, Attempts, Claims, Deliveries, Entries, Instances, Landings, MerchantBooks, Merchants,
    Pruning, Reservations, Sums, Tariffs, Verdicts,
};
pub use hook::{Hook, Hooked};

/// Everything that lists or sums: for whoever only looks. It writes nothing.
pub trait Books: Entries + Sums {}

impl<T: Entries + Sums> Books for T {}

/// A ledger, as far as facilitating payments goes: all groups together. Whoever
/// needs less names the groups it needs, e.g. [`Books`] for what only looks.
///
/// Each operation does and promises what the method of the same name does for
/// [`Ledger`](crate::Ledger). A simulator has them of a model, behind a [`Hook`].
pub trait Store:
    Claims
    + Attempts
    + Verdicts
    + Landings
    + Deliveries
    + AnswerObjects
    + Merchants
    + MerchantBooks
    + Reservations
    + Tariffs
    + Instances
    + Pruning
    + Books
    + Access
{
}

impl<T> Store for T where
    T: Claims
        + Attempts
        + Verdicts
        + Landings
        + Deliveries
        + AnswerObjects
        + Merchants
        + MerchantBooks
        + Reservations
        + Tariffs
        + Instances
        + Pruning
        + Books
        + Access
{
}
