//! Where things are sold.

/// Where images and films are sold.
pub const GENERATION_PATH: &str = "/v1/generation-requests";
/// Where text is sold.
pub const CHAT_PATH: &str = "/v1/chat/completions";
