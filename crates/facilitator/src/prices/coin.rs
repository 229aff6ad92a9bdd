//! What transactions are paid with, by its ticker.

use std::fmt;

/// Longest ticker.
const LETTERS_MAX: usize = 12;

/// What stands behind a ticker in the name of a pair.
const USD: &str = "_usd";

/// A coin that transactions are paid with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coin {
    letters: [u8; LETTERS_MAX],
    length: usize,
}

impl Coin {
    /// Ether.
    pub const ETH: Self = Self { letters: *b"eth\0\0\0\0\0\0\0\0\0", length: 3 };
    /// SOL.
    pub const SOL: Self = Self { letters: *b"sol\0\0\0\0\0\0\0\0\0", length: 3 };

    /// By its ticker in either case: 2 to 12 letters and digits.
    pub fn of_ticker(text: &str) -> Option<Self> {
        let letter = |b: u8| b.is_ascii_alphanumeric();
        if text.len() < 2 || text.len() > LETTERS_MAX || !text.bytes().all(letter) {
            return None;
        }
        let mut letters = [0; LETTERS_MAX];
        letters.get_mut(..text.len())?.copy_from_slice(text.to_ascii_lowercase().as_bytes());
        Some(Self { letters, length: text.len() })
    }

    /// By the name of its pair with the US dollar, such as `eth_usd`.
    pub fn of_pair(text: &str) -> Option<Self> {
        let ticker = text.strip_suffix(USD)?;
        let is_lower = !ticker.bytes().any(|b| b.is_ascii_uppercase());
        Self::of_ticker(ticker).filter(|_| is_lower)
    }

    /// In lower case.
    pub fn ticker(&self) -> &str {
        self.letters.get(..self.length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// As it stands in the configuration and in metrics.
    pub fn pair(&self) -> String {
        format!("{}{USD}", self.ticker())
    }
}

impl fmt::Debug for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ticker())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticker_and_its_pair_name_one_coin() {
        assert_eq!(Coin::of_ticker("ETH"), Some(Coin::ETH));
        assert_eq!(Coin::of_pair("sol_usd"), Some(Coin::SOL));
        assert_eq!(Coin::of_ticker("xDAI").map(|coin| coin.pair()), Some("xdai_usd".to_owned()));
        assert_ne!(Coin::of_ticker("pol"), Coin::of_ticker("pola"));
        for bad in ["", "e", "abcdefghijklm", "e th", "é", "a_b", "a.b"] {
            assert_eq!(Coin::of_ticker(bad), None, "{bad}");
        }
        for bad in ["eth", "_usd", "ETH_usd", "eth_eur", "eth_usd_usd"] {
            assert_eq!(Coin::of_pair(bad), None, "{bad}");
        }
    }
}
