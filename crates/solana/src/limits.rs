//! Limits that errors name.

/// Limit, price, creation, transfer, memo and four assertions.
pub const INSTRUCTIONS_MAX: usize = 9;
