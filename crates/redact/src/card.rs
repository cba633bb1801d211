//! Payment card numbers: 13 to 19 digits of a known issuer whose check digit is right.
//!
//! One in ten random numbers passes the Luhn check (ISO/IEC 7812-1, annex B), so the issuer's prefix, its lengths and the usual
//! grouping must fit too. Timestamps in micro- and nanoseconds begin with 1 and no issuer does.

use crate::span::{Reason, Spans};

/// First and last prefix (of the same number of digits), shortest and longest number.
const ISSUERS: &[(u32, u32, usize, usize)] = &[
    (4, 4, 13, 13),
    (4, 4, 16, 16),
    (4, 4, 19, 19),
    (51, 55, 16, 16),
    (2221, 2720, 16, 16),
    (34, 34, 15, 15),
    (37, 37, 15, 15),
    (300, 305, 14, 14),
    (36, 36, 14, 14),
    (38, 39, 14, 14),
    (6011, 6011, 16, 19),
    (644, 649, 16, 19),
    (65, 65, 16, 19),
    (3528, 3589, 16, 19),
    (62, 62, 16, 19),
    (5018, 5018, 13, 19),
    (5020, 5020, 13, 19),
    (5038, 5038, 13, 19),
    (6304, 6304, 13, 19),
    (6759, 6763, 13, 19),
];

/// Digits of a number that is written in groups.
const GROUPINGS: &[&[usize]] =
    &[&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3], &[4, 4, 4, 1], &[4, 4, 5]];

/// Finds card numbers, in one piece or in groups with spaces or dashes between.
pub(crate) fn numbers(text: &str, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if !byte.is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = digits_end(bytes, at);
        let found = if is_glued(bytes, at) { None } else { card_end(bytes, at, end) };
        match found {
            Some(card_end) => {
                spans.add(at, card_end, Reason::CardNumber);
                at = card_end;
            }
            None => at = end,
        }
    }
}

/// Where the number ends whose first group of digits is `start..end`.
fn card_end(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    if (13..=19).contains(&(end - start)) {
        return (!continues(bytes, end) && is_card(bytes.get(start..end)?)).then_some(end);
    }
    if end - start != 4 {
        return None;
    }
    let separator = *bytes.get(end).filter(|byte| matches!(byte, b' ' | b'-'))?;
    // Dashes join the groups of UUIDs, dates and part numbers: such a run must not go on to the left.
    if separator == b'-' && start > 0 && bytes.get(start - 1) == Some(&b'-') {
        return None;
    }
    let mut ends = vec![end];
    while let Some(&last) = ends.last()
        && ends.len() < 5
        && bytes.get(last) == Some(&separator)
    {
        let group_end = digits_end(bytes, last + 1);
        if group_end == last + 1 {
            break;
        }
        ends.push(group_end);
    }
    let mut sizes = Vec::new();
    let mut group_start = start;
    for &group_end in &ends {
        sizes.push(group_end - group_start);
        group_start = group_end + 1;
    }
    let longest_first = (3..=ends.len()).rev();
    longest_first.filter_map(|groups| Some((*ends.get(groups - 1)?, sizes.get(..groups)?))).find_map(
        |(end, sizes)| {
            let digits: Vec<u8> = bytes.get(start..end)?.iter().copied().filter(u8::is_ascii_digit).collect();
            let fits = GROUPINGS.contains(&sizes) && is_card(&digits) && !continues(bytes, end);
            let goes_on = separator == b'-' && bytes.get(end) == Some(&b'-');
            (fits && !goes_on).then_some(end)
        },
    )
}

fn digits_end(bytes: &[u8], start: usize) -> usize {
    bytes.iter().skip(start).position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |len| start + len)
}

/// Whether the digits at `start` are the tail of a word or the fraction of a number.
fn is_glued(bytes: &[u8], start: usize) -> bool {
    let before = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    before(1).is_ascii_alphanumeric() || (before(1) == b'.' && before(2).is_ascii_digit())
}

/// Whether the number goes on after `end` as a word or with a fraction.
fn continues(bytes: &[u8], end: usize) -> bool {
    let after = |ahead: usize| bytes.get(end + ahead).copied().unwrap_or(b' ');
    after(0).is_ascii_alphanumeric() || (after(0) == b'.' && after(1).is_ascii_digit())
}

fn is_card(digits: &[u8]) -> bool {
    let prefix = |len: usize| {
        digits.iter().take(len).fold(0_u32, |value, digit| value * 10 + u32::from(digit.wrapping_sub(b'0')))
    };
    let issued = ISSUERS.iter().any(|&(first, last, shortest, longest)| {
        (shortest..=longest).contains(&digits.len()) && (first..=last).contains(&prefix(decimals(first)))
    });
    issued && luhn(digits)
}

fn decimals(value: u32) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            match at % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    // A row of zeros passes the sum, but is nobody's card.
    sum.is_multiple_of(10) && sum > 0
}
