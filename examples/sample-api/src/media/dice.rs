use sha2::{Digest, Sha256};

/// A small deterministic source of numbers (SplitMix64), seeded by text.
///
/// For drawing only: nothing secret comes out of it.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same texts in the same order.
    pub fn seeded(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            // Length first, so that ["ab", "c"] and ["a", "bc"] differ.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `sides`; 0 when there are no sides.
    pub fn below(&mut self, sides: u32) -> u32 {
        let Some(rest) = self.roll().checked_rem(u64::from(sides)) else { return 0 };
        u32::try_from(rest).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// One of the given things, if there are any.
    pub fn pick<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        let index = self.below(u32::try_from(things.len()).unwrap_or(u32::MAX));
        things.get(index as usize)
    }
}
