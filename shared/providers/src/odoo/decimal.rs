//! Floats as decimal text, without ever being floats here.

/// The most decimals that a currency of Odoo's has: its rounding is kept with six.
const DECIMALS: i32 = 6;

/// The number in plain digits, rounded half away from zero to six decimals, without zeros at its end: `23`, `-0.5`. None,
/// if the text is no number or one too large for money.
pub(super) fn plain(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
    }
    let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let value = match DECIMALS.checked_sub(places)? {
        more @ 0.. => match value {
            0 => 0,
            _ => value.checked_mul(10_u128.checked_pow(more.unsigned_abs())?)?,
        },
        fewer => 10_u128.checked_pow(fewer.unsigned_abs()).map_or(0, |unit| {
            let (kept, rest) = (value / unit, value % unit);
            kept + u128::from(rest >= unit - rest)
        }),
    };
    let unit = 10_u128.pow(DECIMALS.unsigned_abs());
    let fraction = format!("{:06}", value % unit);
    let number = format!("{}.{fraction}", value / unit);
    let number = number.trim_end_matches('0').trim_end_matches('.');
    let sign = if negative && value != 0 { "-" } else { "" };
    Some(format!("{sign}{number}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_float_is_read_as_the_decimal_that_it_stands_for() {
        for (float, decimal) in [
            ("23.0", "23"),
            ("23", "23"),
            ("-11.5", "-11.5"),
            ("0.30000000000000004", "0.3"),
            ("23.549999999999997", "23.55"),
            ("-23.549999999999997", "-23.55"),
            ("1e-05", "0.00001"),
            ("5e-07", "0.000001"),
            ("4.9e-07", "0"),
            ("-0.0", "0"),
            ("0e999", "0"),
            ("1e-999", "0"),
            ("1.5e3", "1500"),
            ("1e+16", "10000000000000000"),
            ("100", "100"),
            ("12.345678", "12.345678"),
        ] {
            assert_eq!(plain(float).as_deref(), Some(decimal), "{float}");
        }
    }

    #[test]
    fn what_is_no_number_or_too_large_a_one_is_none() {
        for text in
            ["", "-", ".", "1,5", "1.2.3", "NaN", "Infinity", "--1", "1e", "1e99", "1e99999999999", "١"]
        {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(plain(&"9".repeat(60)), None);
        assert_eq!(plain("1e-2147483648"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|-?[0-9]{0,40}\\.?[0-9]{0,40}(e[+-]?[0-9]{1,11})?") {
            let _ = plain(&text);
        }

        #[test]
        fn cents_come_through_exactly(cents in -10_000_000_000_i64..10_000_000_000) {
            let (sign, count) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
            let text = format!("{sign}{}.{:02}", count / 100, count % 100);
            let eur = "EUR".parse().unwrap();
            let money = tillwatch_domain::Money::from_decimal(&plain(&text).unwrap(), eur).unwrap();
            prop_assert_eq!(money, tillwatch_domain::Money::from_minor(cents, eur));
        }
    }
}
