//! Limits that errors name.

/// Limit, price, limit of data, creation, transfer, memo and four assertions.
pub const INSTRUCTIONS_MAX: usize = 10;

/// Most searches at once on one cluster: whoever holds a landed payment can cause one.
pub const LANDING_SEARCHES_MAX: usize = 4;
