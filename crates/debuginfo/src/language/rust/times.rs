//! Durations and points in time.

use super::{missing, unwrapped, word};
use crate::decoded::{Decoded, signed_value};
use crate::dwarf::location::Spot;
use crate::dwarf::types::Type;
use crate::expression::Absent;
use crate::values::Decoder;

const NANOSECONDS: u32 = 1_000_000_000;

fn nanoseconds(value: u64) -> Result<u32, Absent> {
    let value = u32::try_from(value).ok().filter(|value| *value < NANOSECONDS);
    value.ok_or_else(|| Absent::NotDecoded("a time with more than a second of nanoseconds".to_owned()))
}

pub(super) fn duration(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let seconds = word(decoder, kind, "secs", spot)?;
    let nanoseconds = nanoseconds(word(decoder, kind, "nanos", spot)?)?;
    Ok(Decoded::plain(format!("{:?}", std::time::Duration::new(seconds, nanoseconds))))
}

/// Seconds and nanoseconds of the `timespec` inside.
fn inside(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<(i64, u32), Absent> {
    let (outer, place) = decoder.member(kind, "__0", spot).ok_or_else(|| missing(&kind.name))?;
    let (time, place) = decoder.member(&outer, "t", &place).ok_or_else(|| missing(&kind.name))?;
    let seconds = word(decoder, &time, "tv_sec", &place)?;
    let (part, place) = decoder.member(&time, "tv_nsec", &place).ok_or_else(|| missing(&kind.name))?;
    let (part, place) = unwrapped(decoder, part, place);
    let seconds = i64::try_from(signed_value(u128::from(seconds), 8)).map_err(|_| Absent::Damaged)?;
    Ok((seconds, nanoseconds(decoder.word(&part, &place)?)?))
}

/// `Instant`: by the clock that counts from the start of the machine.
pub(super) fn instant(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let (seconds, nanoseconds) = inside(decoder, kind, spot)?;
    Ok(Decoded::plain(format!("{seconds}.{nanoseconds:09}s after the machine's start")))
}

/// `SystemTime`, as RFC 3339 writes it.
pub(super) fn system_time(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let (seconds, nanoseconds) = inside(decoder, kind, spot)?;
    Ok(Decoded::plain(date(seconds, nanoseconds)))
}

/// Seconds since 1970 as a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(seconds: i64, nanoseconds: u32) -> String {
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since the first of March of the year 0, in eras of 400 years.
    let shifted = day.saturating_add(719_468);
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era.saturating_mul(400).saturating_add(year_of_era) + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_of_the_gregorian_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_795_247_634, "2026-11-21T07:53:54"),
            (-1, "1969-12-31T23:59:59"),
            (-62_167_219_200, "0000-01-01T00:00:00"),
        ] {
            assert_eq!(date(seconds, 5), format!("{expected}.000000005Z"));
        }
        for seconds in [i64::MIN, i64::MAX] {
            assert!(date(seconds, 0).ends_with('Z'));
        }
    }
}
