//! Loyalty points, in C: what the old till software left us.
//!
//! The only unsafe code of the shop.

use std::ffi::{CStr, c_char, c_int};

/// `struct loyalty_line` of `native/loyalty.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct LoyaltyLine {
    quantity: u64,
    unit_cents: u64,
}

unsafe extern "C" {
    fn loyalty_statement(
        customer: u64,
        points: u32,
        months_inactive: u32,
        out: *mut c_char,
        cap: usize,
    ) -> c_int;
    fn loyalty_award(
        lines: *const LoyaltyLine,
        n: usize,
        rate: extern "C" fn(*const LoyaltyLine) -> u32,
    ) -> u64;
}

/// Longest statement in bytes, terminator included.
const STATEMENT_BYTES: usize = 64;

/// `TIER, N points` for a customer; `None` where the till has no answer.
pub(crate) fn statement(customer: i64, points: i64, months_inactive: i64) -> Option<String> {
    let customer = u64::try_from(customer).ok()?;
    let points = u32::try_from(points.max(0)).unwrap_or(u32::MAX);
    let months_inactive = u32::try_from(months_inactive.max(0)).unwrap_or(u32::MAX);
    let mut out = [0_u8; STATEMENT_BYTES];
    // SAFETY: `out` is writable for the length passed; the other side writes a terminated text into it or fails.
    let written =
        unsafe { loyalty_statement(customer, points, months_inactive, out.as_mut_ptr().cast(), out.len()) };
    if written < 0 {
        return None;
    }
    CStr::from_bytes_until_nul(&out).ok()?.to_str().ok().map(str::to_owned)
}

/// Points for `(quantity, unit price in cents)` lines.
pub(crate) fn award(lines: &[(i64, i64)]) -> u64 {
    let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
    let lines: Vec<LoyaltyLine> = lines
        .iter()
        .map(|&(quantity, unit_cents)| LoyaltyLine {
            quantity: unsigned(quantity),
            unit_cents: unsigned(unit_cents),
        })
        .collect();
    // SAFETY: pointer and length describe `lines`, which outlives the call; the callback gets pointers into it.
    unsafe { loyalty_award(lines.as_ptr(), lines.len(), points_for_line) }
}

/// One point per unit of currency.
extern "C" fn points_for_line(line: *const LoyaltyLine) -> u32 {
    // SAFETY: called by `loyalty_award` with a pointer into the array that `award` gave it.
    let line = unsafe { *line };
    let units = line.quantity * line.unit_cents / 100;
    u32::try_from(units).expect("the points of one line fit into 32 bits")
}

#[cfg(test)]
mod tests {
    use super::{award, statement};

    #[test]
    fn tiers_follow_the_points() {
        assert_eq!(statement(3, 310, 0).as_deref(), Some("bronze, 310 points"));
        assert_eq!(statement(3, 500, 36).as_deref(), Some("silver, 500 points"));
        assert_eq!(statement(5, i64::MAX, 0).as_deref(), Some("gold, 4294967295 points"));
    }

    #[test]
    fn a_point_per_unit() {
        assert_eq!(award(&[(2, 1890), (1, 390)]), 37 + 3);
        assert_eq!(award(&[]), 0);
    }
}
