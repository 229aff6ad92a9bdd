#![doc = include_str!("../README.md")]

mod check;
mod found;
mod issue;

pub use check::{Checked, Expected, Wrong, check};
pub use found::{Found, NotFound};
pub use issue::{FRESH_PER_SECOND_MAX, Issuer, OFFERS_KEPT_MAX, extension};
