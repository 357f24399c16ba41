//! Money, exact: an integer count of minor units, how many decimals those are, and a currency.
//!
//! The number of decimals travels with the amount because providers send more of them than the currency has: Shopify's
//! own sample refunds `"155.575"` JPY, a currency without decimals. Dropping or rounding them would be inventing money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 alphabetic code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Decimals of the currency's minor unit by ISO 4217: 0 for JPY, 2 for USD, 3 for KWD. A code that ISO does not
    /// list gets 2, as most have.
    pub fn decimals(self) -> u8 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
            | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    /// Accepts either case: Stripe writes `usd`.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            letters @ &[a, b, c] if letters.iter().all(u8::is_ascii_alphabetic) => {
                Ok(Self([a, b, c].map(|letter| letter.to_ascii_uppercase())))
            }
            _ => Err(MoneyError::Currency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why a text or number is no amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three ASCII letters.
    #[error("a currency is three letters, such as USD")]
    Currency,
    /// Not a decimal number.
    #[error("an amount is a decimal number, such as 12.50")]
    Amount,
    /// Too large, or with too many decimals, for 64 bits of minor units.
    #[error("the amount has more digits than money can have")]
    Range,
}

/// The most decimals that an amount may carry.
const MOST_DECIMALS: u8 = 9;

/// An exact amount: `minor` × 10^-`decimals` of `currency`.
///
/// Always in lowest form: no fewer decimals than the currency has, and no trailing zeros beyond those, so two equal
/// amounts are equal values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: i64,
    decimals: u8,
    currency: Currency,
}

impl Money {
    /// From a count of the currency's own minor units (cents of a USD, whole yen of a JPY).
    pub fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, decimals: currency.decimals(), currency }
    }

    /// From minor units of a stated size, as where a provider's idea of a currency's decimals is not ISO's.
    pub fn from_scaled(minor: i64, decimals: u8, currency: Currency) -> Result<Self, MoneyError> {
        let (mut minor, mut decimals) = (minor, decimals);
        while decimals > currency.decimals() && minor % 10 == 0 {
            minor /= 10;
            decimals -= 1;
        }
        while decimals < currency.decimals() {
            minor = minor.checked_mul(10).ok_or(MoneyError::Range)?;
            decimals += 1;
        }
        if decimals > MOST_DECIMALS {
            return Err(MoneyError::Range);
        }
        Ok(Self { minor, decimals, currency })
    }

    /// From decimal text in major units (`"388.00"`, `-0.5`, `1e3`), as JSON strings and numbers hold it. Exact.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            None => (text, 0),
            Some(at) => {
                let exponent: i32 = text[at + 1..].parse().map_err(|_| MoneyError::Amount)?;
                (&text[..at], exponent)
            }
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(MoneyError::Amount);
        }
        let mut minor: i64 = 0;
        for digit in whole.bytes().chain(fraction.trim_end_matches('0').bytes()) {
            if !digit.is_ascii_digit() {
                return Err(MoneyError::Amount);
            }
            let step = i64::from(digit - b'0');
            minor = minor
                .checked_mul(10)
                .and_then(|value| if negative { value.checked_sub(step) } else { value.checked_add(step) })
                .ok_or(MoneyError::Range)?;
        }
        if minor == 0 {
            return Ok(Self::from_minor(0, currency));
        }
        let fraction_digits =
            i32::try_from(fraction.trim_end_matches('0').len()).map_err(|_| MoneyError::Range)?;
        let mut scale = fraction_digits.checked_sub(exponent).ok_or(MoneyError::Range)?;
        while scale < 0 {
            minor = minor.checked_mul(10).ok_or(MoneyError::Range)?;
            scale += 1;
        }
        while scale > 0 && minor % 10 == 0 {
            minor /= 10;
            scale -= 1;
        }
        Self::from_scaled(minor, u8::try_from(scale).map_err(|_| MoneyError::Range)?, currency)
    }

    /// The count of minor units.
    pub fn minor(&self) -> i64 {
        self.minor
    }

    /// How many decimals of the major unit a minor unit is.
    pub fn decimals(&self) -> u8 {
        self.decimals
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The sum, if both are of one currency and the sum fits.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Currency);
        }
        let decimals = self.decimals.max(other.decimals);
        let lift = |money: Self| {
            let factor = 10_i64.checked_pow(u32::from(decimals - money.decimals)).ok_or(MoneyError::Range)?;
            money.minor.checked_mul(factor).ok_or(MoneyError::Range)
        };
        let sum = lift(self)?.checked_add(lift(other)?).ok_or(MoneyError::Range)?;
        Self::from_scaled(sum, decimals, self.currency)
    }

    /// The larger of two amounts of one currency; of two currencies, the first.
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        let wide = |money: Self| {
            i128::from(money.minor)
                * 10_i128.pow(u32::from(MOST_DECIMALS - money.decimals.min(MOST_DECIMALS)))
        };
        if self.currency == other.currency && wide(other) > wide(self) { other } else { self }
    }

    /// The amount in major units, as in `155.575`.
    pub fn major(&self) -> String {
        if self.decimals == 0 {
            return self.minor.to_string();
        }
        let places = usize::from(self.decimals);
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.minor < 0 { "-" } else { "" };
        format!("{sign}{whole}.{fraction}")
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.major(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str, currency: &str) -> Result<String, MoneyError> {
        Money::from_decimal(text, currency.parse()?).map(|money| money.to_string())
    }

    #[test]
    fn amounts_keep_every_decimal_that_was_sent() {
        assert_eq!(money("388.00", "USD").unwrap(), "388.00 USD");
        assert_eq!(money("388", "usd").unwrap(), "388.00 USD");
        assert_eq!(money("155.575", "JPY").unwrap(), "155.575 JPY");
        assert_eq!(money("12.345", "KWD").unwrap(), "12.345 KWD");
        assert_eq!(money("5.00", "JPY").unwrap(), "5 JPY");
        assert_eq!(money("-0.05", "EUR").unwrap(), "-0.05 EUR");
        assert_eq!(money("1.5e3", "EUR").unwrap(), "1500.00 EUR");
        assert_eq!(money("89.99", "EUR").unwrap(), "89.99 EUR");
        assert_eq!(money("1e-1", "JPY").unwrap(), "0.1 JPY");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "-", "1,5", "1.2.3", "NaN", "0x10", "1e", "１"] {
            assert_eq!(money(text, "USD"), Err(MoneyError::Amount), "{text:?}");
        }
        for text in ["99999999999999999999", "1e30", "0.00000000001", "1e-2147483648", "1e99999999999"] {
            assert!(money(text, "USD").is_err(), "{text:?}");
        }
        assert_eq!(money("1", "US"), Err(MoneyError::Currency));
        assert_eq!(money("1", "€€€"), Err(MoneyError::Currency));
    }

    #[test]
    fn equal_amounts_are_equal_values() {
        let usd = "USD".parse().unwrap();
        assert_eq!(Money::from_decimal("1.50", usd), Money::from_decimal("1.5000", usd));
        assert_eq!(Money::from_decimal("1.50", usd), Ok(Money::from_minor(150, usd)));
        assert_eq!(Money::from_scaled(15, 1, usd), Ok(Money::from_minor(150, usd)));
    }

    proptest! {
        #[test]
        fn decimal_text_comes_back_as_it_was(minor in any::<i64>(), currency in "(JPY|USD|KWD|CLF)") {
            let money = Money::from_minor(minor, currency.parse().unwrap());
            prop_assert_eq!(Money::from_decimal(&money.major(), money.currency()), Ok(money));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Money::from_decimal(&text, "USD".parse().unwrap());
        }

        #[test]
        fn a_sum_is_exact(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
            let usd = "USD".parse().unwrap();
            let sum = Money::from_scaled(a, 3, usd).unwrap().plus(Money::from_scaled(b, 2, usd).unwrap());
            prop_assert_eq!(sum, Money::from_scaled(a + b * 10, 3, usd));
        }
    }
}
