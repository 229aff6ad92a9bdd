//! How many requests a look may still make.

/// A named number of requests, spent one by one. What is left undone when it is empty comes with the
/// next look, or stays undone: which of the two is the caller's to say.
#[derive(Debug)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// So many requests.
    pub fn new(requests: usize) -> Self {
        Self { left: requests }
    }

    /// Takes one, if one is left.
    pub fn take(&mut self) -> bool {
        let had = self.left > 0;
        self.left = self.left.saturating_sub(1);
        had
    }

    /// What was taken turned out to be none.
    pub fn give_back(&mut self) {
        self.left = self.left.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_once() {
        let mut budget = Budget::new(2);
        assert_eq!([budget.take(), budget.take(), budget.take(), budget.take()], [true, true, false, false]);
        assert!(!Budget::new(0).take());
        let mut budget = Budget::new(1);
        assert!(budget.take());
        budget.give_back();
        assert_eq!([budget.take(), budget.take()], [true, false]);
    }
}
