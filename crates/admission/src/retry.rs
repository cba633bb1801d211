//! A budget for retries: they help while little fails, and multiply the load when everything does.

/// Retries that are saved up at most, and what a quiet service may always do per second.
const SAVED_MAX: f64 = 50.0;
const PER_SECOND: f64 = 0.5;

#[derive(Debug)]
pub(crate) struct RetryBudget {
    ratio: f64,
    tokens: f64,
    refilled_us: u64,
}

impl RetryBudget {
    pub(crate) fn new(ratio: f64) -> Self {
        Self { ratio, tokens: if ratio > 0.0 { 1.0 } else { 0.0 }, refilled_us: 0 }
    }

    /// A request was forwarded for the first time.
    pub(crate) fn earn(&mut self) {
        self.tokens = (self.tokens + self.ratio).min(SAVED_MAX);
    }

    /// Whether one may go a second time.
    pub(crate) fn spend(&mut self, now_us: u64) -> bool {
        if self.ratio > 0.0 {
            let passed_us = now_us.saturating_sub(self.refilled_us);
            self.tokens = (self.tokens + passed_us as f64 / 1e6 * PER_SECOND).min(SAVED_MAX);
            self.refilled_us = now_us.max(self.refilled_us);
        }
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_requests_and_no_more() {
        let mut budget = RetryBudget::new(0.1);
        let mut retries = 0;
        for i in 0..100_000_u64 {
            budget.earn();
            retries += u32::from(budget.spend(i * 10));
        }
        assert!((9_900..=10_100).contains(&retries), "{retries}");
        let mut none = RetryBudget::new(0.0);
        assert!(!none.spend(60_000_000));
    }
}
