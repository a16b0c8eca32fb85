//! Moments, days and times of day: proleptic Gregorian, UTC, microseconds, years 1 to 9999 (what Python's `datetime`
//! holds, and what every supported database can store).
//!
//! The text forms are of fixed width, so that text order is time order: `2024-01-31T12:00:00.000001Z`, `2024-01-31`,
//! `12:00:00.000001`. The calendar arithmetic is Howard Hinnant's `days_from_civil` and `civil_from_days`.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 0001-01-01 as days since 1970-01-01.
const FIRST_DAY: i32 = -719_162;
/// 9999-12-31 as days since 1970-01-01.
const LAST_DAY: i32 = 2_932_896;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(i64);

/// A calendar day: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

/// A time of day: microseconds since midnight, below 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl DateTime {
    /// From microseconds since 1970; refused outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self> {
        let day = micros.div_euclid(MICROS_PER_DAY);
        if (i64::from(FIRST_DAY)..=i64::from(LAST_DAY)).contains(&day) {
            Ok(Self(micros))
        } else {
            Err(Error::invalid_value("a datetime is outside the years 1 to 9999"))
        }
    }

    /// From a day and a time of day in UTC.
    pub fn from_parts(date: Date, time: Time) -> Self {
        Self(i64::from(date.0) * MICROS_PER_DAY + time.0)
    }

    /// The clock's time, now.
    pub fn now() -> Self {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The day in UTC.
    pub fn date(self) -> Date {
        Date(self.0.div_euclid(MICROS_PER_DAY) as i32)
    }

    /// The time of day in UTC.
    pub fn time(self) -> Time {
        Time(self.0.rem_euclid(MICROS_PER_DAY))
    }
}

impl Date {
    /// From year, month and day of month, as people write them.
    pub fn from_civil(year: i32, month: u32, day: u32) -> Result<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(leap),
            _ => 31,
        };
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=length).contains(&day) {
            return Err(Error::invalid_value(format!("there is no day {year:04}-{month:02}-{day:02}")));
        }
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = (month as i32 + 9) % 12;
        let day_of_year = (153 * shifted + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Ok(Self(era * 146_097 + day_of_era - 719_468))
    }

    /// From days since 1970; refused outside the years 1 to 9999.
    pub fn from_days(days: i32) -> Result<Self> {
        if (FIRST_DAY..=LAST_DAY).contains(&days) {
            Ok(Self(days))
        } else {
            Err(Error::invalid_value("a date is outside the years 1 to 9999"))
        }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// Year, month and day of month.
    pub fn civil(self) -> (i32, u32, u32) {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        (year, month as u32, day as u32)
    }
}

impl Time {
    /// From hour, minute, second and microsecond.
    pub fn from_clock(hour: u32, minute: u32, second: u32, micro: u32) -> Result<Self> {
        if hour > 23 || minute > 59 || second > 59 || micro > 999_999 {
            return Err(Error::invalid_value(format!("there is no time {hour:02}:{minute:02}:{second:02}.{micro:06}")));
        }
        Ok(Self(((i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second)) * 1_000_000 + i64::from(micro)))
    }

    /// Microseconds since midnight.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Hour, minute, second and microsecond.
    pub fn clock(self) -> (u32, u32, u32, u32) {
        let seconds = self.0 / 1_000_000;
        ((seconds / 3600) as u32, (seconds / 60 % 60) as u32, (seconds % 60) as u32, (self.0 % 1_000_000) as u32)
    }
}

/// Puts two digits into `out`.
fn put(number: u32, out: &mut [u8]) {
    out.copy_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
}

impl Date {
    fn put(self, out: &mut [u8]) {
        let (year, month, day) = self.civil();
        put(year as u32 / 100, &mut out[..2]);
        put(year as u32 % 100, &mut out[2..4]);
        put(month, &mut out[5..7]);
        put(day, &mut out[8..10]);
    }
}

impl Time {
    fn put(self, out: &mut [u8]) {
        let (hour, minute, second, micro) = self.clock();
        put(hour, &mut out[..2]);
        put(minute, &mut out[3..5]);
        put(second, &mut out[6..8]);
        put(micro / 10_000, &mut out[9..11]);
        put(micro / 100 % 100, &mut out[11..13]);
        put(micro % 100, &mut out[13..15]);
    }
}

fn print(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"0000-00-00";
        self.put(&mut text);
        print(&text, f)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(&self.ascii(), f)
    }
}

impl Time {
    /// Its text.
    pub(crate) fn ascii(self) -> [u8; 15] {
        let mut text = *b"00:00:00.000000";
        self.put(&mut text);
        text
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(&self.ascii(), f)
    }
}

impl DateTime {
    /// Its text.
    pub(crate) fn ascii(self) -> [u8; 27] {
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        self.date().put(&mut text[..10]);
        self.time().put(&mut text[11..26]);
        text
    }
}

/// Reads exactly `count` digits at `*at`.
fn digits(bytes: &[u8], at: &mut usize, count: usize) -> Option<u32> {
    let slice = bytes.get(*at..*at + count)?;
    *at += count;
    slice.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn expect(bytes: &[u8], at: &mut usize, wanted: &[u8]) -> Option<()> {
    let found = wanted.contains(bytes.get(*at)?);
    *at += 1;
    found.then_some(())
}

fn read_date(bytes: &[u8], at: &mut usize) -> Option<Date> {
    let year = digits(bytes, at, 4)?;
    expect(bytes, at, b"-")?;
    let month = digits(bytes, at, 2)?;
    expect(bytes, at, b"-")?;
    Date::from_civil(year as i32, month, digits(bytes, at, 2)?).ok()
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.` with one to six digits; a seventh digit would have to be rounded and is refused
/// unless it is zero.
fn read_time(bytes: &[u8], at: &mut usize) -> Option<Time> {
    let hour = digits(bytes, at, 2)?;
    expect(bytes, at, b":")?;
    let minute = digits(bytes, at, 2)?;
    let mut second = 0;
    let mut micro = 0;
    if bytes.get(*at) == Some(&b':') {
        *at += 1;
        second = digits(bytes, at, 2)?;
        if bytes.get(*at) == Some(&b'.') {
            *at += 1;
            let count = bytes[*at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let fraction = &bytes[*at..*at + count];
            *at += fraction.len();
            if fraction.is_empty() || fraction.iter().skip(6).any(|digit| *digit != b'0') {
                return None;
            }
            micro = (0..6).fold(0, |sum, place| sum * 10 + fraction.get(place).map_or(0, |d| u32::from(d - b'0')));
        }
    }
    Time::from_clock(hour, minute, second, micro).ok()
}

/// `Z` or `+HH:MM`, as microseconds to subtract.
fn read_offset(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let sign = match bytes.get(*at)? {
        b'Z' | b'z' => {
            *at += 1;
            return Some(0);
        }
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *at += 1;
    let hours = digits(bytes, at, 2)?;
    if bytes.get(*at) == Some(&b':') {
        *at += 1;
    }
    let minutes = digits(bytes, at, 2)?;
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes) * 60_000_000)
}

/// A moment in the form in which moments are written, which is the one that nearly all have.
fn read_own(bytes: &[u8; 27]) -> Option<DateTime> {
    const ZEROS: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    let mut parts = [0; 27];
    let mut fits = true;
    for ((part, byte), zero) in parts.iter_mut().zip(bytes).zip(ZEROS) {
        *part = byte.wrapping_sub(*zero);
        fits &= *part <= if *zero == b'0' { 9 } else { 0 };
    }
    let number = |from: usize, to: usize| parts[from..to].iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
    if !fits {
        return None;
    }
    let date = Date::from_civil(number(0, 4) as i32, number(5, 7), number(8, 10)).ok()?;
    let time = Time::from_clock(number(11, 13), number(14, 16), number(17, 19), number(20, 26)).ok()?;
    Some(DateTime::from_parts(date, time))
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut at = 0;
        let date = read_date(text.as_bytes(), &mut at).filter(|_| at == text.len());
        date.ok_or_else(|| Error::invalid_value(format!("expected a date such as 2024-01-31, got {text:?}")))
    }
}

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut at = 0;
        let time = read_time(text.as_bytes(), &mut at).filter(|_| at == text.len());
        time.ok_or_else(|| Error::invalid_value(format!("expected a time such as 12:30:00, got {text:?}")))
    }
}

impl FromStr for DateTime {
    type Err = Error;

    /// RFC 3339 with any offset; without an offset the moment is taken as UTC.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid_value(format!("expected a datetime such as 2024-01-31T12:30:00Z, got {text:?}"));
        let bytes = text.as_bytes();
        if let Some(moment) = bytes.try_into().ok().and_then(read_own) {
            return Ok(moment);
        }
        let mut at = 0;
        let date = read_date(bytes, &mut at).ok_or_else(wrong)?;
        expect(bytes, &mut at, b"Tt ").ok_or_else(wrong)?;
        let time = read_time(bytes, &mut at).ok_or_else(wrong)?;
        let offset = if at == bytes.len() { 0 } else { read_offset(bytes, &mut at).ok_or_else(wrong)? };
        if at != bytes.len() {
            return Err(wrong());
        }
        Self::from_micros(Self::from_parts(date, time).0 - offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days_are_where_they_belong() {
        assert_eq!(Date::from_civil(1970, 1, 1).unwrap().days(), 0);
        assert_eq!(Date::from_civil(1, 1, 1).unwrap().days(), FIRST_DAY);
        assert_eq!(Date::from_civil(9999, 12, 31).unwrap().days(), LAST_DAY);
        assert!(Date::from_civil(2023, 2, 29).is_err());
    }

    #[test]
    fn offsets_become_utc() {
        let moment: DateTime = "2024-01-31T12:00:00.5+02:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2024-01-31T10:00:00.500000Z");
        assert!("2024-01-31T12:00:00.0000001Z".parse::<DateTime>().is_err());
        assert!("0001-01-01T00:00:00+01:00".parse::<DateTime>().is_err());
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same_moment(day in FIRST_DAY..=LAST_DAY, micro in 0..MICROS_PER_DAY) {
            let moment = DateTime::from_micros(i64::from(day) * MICROS_PER_DAY + micro).unwrap();
            prop_assert_eq!(moment.to_string().parse::<DateTime>().unwrap(), moment);
            prop_assert_eq!(moment.to_string().len(), 27);
        }

        #[test]
        fn the_form_that_is_written_is_read_as_any_other(
            day in FIRST_DAY..=LAST_DAY,
            micro in 0..MICROS_PER_DAY,
            place in (0..26_usize).prop_filter("the T", |place| *place != 10),
            byte in b' '..b'~',
        ) {
            let mut text = DateTime::from_micros(i64::from(day) * MICROS_PER_DAY + micro).unwrap().ascii();
            text[place] = byte;
            let text = std::str::from_utf8(&text).unwrap();
            let other = text.replacen('T', "t", 1);
            prop_assert_eq!(text.parse::<DateTime>().ok(), other.parse::<DateTime>().ok());
        }

        #[test]
        fn reading_never_panics(text in ".{0,40}") {
            let _ = text.parse::<DateTime>();
            let _ = text.parse::<Date>();
            let _ = text.parse::<Time>();
        }
    }
}
