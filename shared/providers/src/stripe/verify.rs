//! `t=SECONDS,v1=hex(HMAC-SHA256(whole whsec_… secret as text, SECONDS + "." + raw body))`.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::hmac::Tag;
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "stripe-signature";

/// The most signatures that are looked at. Stripe sends one for each live secret, of which it allows two.
const MOST_TAGS: usize = 16;

/// Which secret signed the request. Only a rightly signed time is said to be stale or to lie in the future.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let keys = settings.live_keys(now)?;
    let claim = Claim::read(request.headers().only(SIGNATURE)?)?;
    let parts = [claim.time.as_bytes(), b".", request.body()];
    let key = hmac::matching_key(&keys, &parts, &claim.tags).ok_or(Cause::WrongSignature)?;
    let (age, tolerance) = (now.as_second() - claim.seconds, i64::from(settings.tolerance_seconds()));
    if age > tolerance {
        return Err(Cause::StaleTimestamp.into());
    }
    if age < -tolerance {
        return Err(Cause::FutureTimestamp.into());
    }
    Ok(key)
}

/// What the header claims.
struct Claim<'a> {
    /// As it was written, for that is what was signed.
    time: &'a str,
    seconds: i64,
    tags: Vec<Tag>,
}

impl<'a> Claim<'a> {
    /// Fields of other schemes are passed over, as is a `v1` that is none: it must not spoil a good one beside it.
    fn read(header: &'a str) -> Result<Self, Cause> {
        let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
        let mut times = fields().filter(|(name, _)| *name == "t").map(|(_, time)| time);
        let time = times.next().ok_or(Cause::MalformedSignature)?;
        if times.next().is_some() {
            return Err(Cause::AmbiguousSignature);
        }
        // A sign is not a digit, though numbers are parsed with one.
        let digits = time.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = time.parse().ok().filter(|_| digits).ok_or(Cause::MalformedSignature)?;
        let tags: Vec<Tag> = fields()
            .filter(|(name, _)| *name == "v1")
            .filter_map(|(_, v1)| hmac::hex_tag(v1))
            .take(MOST_TAGS)
            .collect();
        if tags.is_empty() { Err(Cause::MalformedSignature) } else { Ok(Self { time, seconds, tags }) }
    }
}

pub(super) fn sign(settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError> {
    let time = now.as_second().to_string();
    let tag = hmac::tag(settings.live_keys(now)?.newest().as_bytes(), &[time.as_bytes(), b".", body]);
    Ok(Headers::from_iter([(SIGNATURE, format!("t={time},v1={}", hex::encode(tag)))]))
}

#[cfg(test)]
mod tests {
    use super::super::Stripe;
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn verdict_at(header: &str, now: i64, settings: &Settings) -> Result<usize, Failure> {
        let request = Request::new(Headers::from_iter([(SIGNATURE, header)]), b"{}".to_vec());
        let checked = request.check(&Stripe, settings, Timestamp::from_second(now).unwrap());
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn verdict(header: &str) -> Result<usize, Failure> {
        verdict_at(header, NOW, &Settings::with_keys(["whsec_new", "whsec_old"]))
    }

    /// The tag of `{}` at the time written as `time`.
    fn v1(key: &str, time: &str) -> String {
        hex::encode(hmac::tag(key.as_bytes(), &[time.as_bytes(), b".", b"{}"]))
    }

    fn rejected(cause: Cause) -> Result<usize, Failure> {
        Err(Failure::Rejected(cause))
    }

    #[test]
    fn any_right_signature_of_any_live_secret_is_enough() {
        let (new, old) = (v1("whsec_new", "1700000000"), v1("whsec_old", "1700000000"));
        assert_eq!(verdict(&format!("t=1700000000,v1={new}")), Ok(0));
        assert_eq!(verdict(&format!("t=1700000000,v1={old}")), Ok(1));
        assert_eq!(verdict(&format!("v1={},v1={old},t=1700000000", "0".repeat(64))), Ok(1));
        assert_eq!(verdict(&format!("t=1700000000, v1=never hex ,v1={new},v0=x,=,y")), Ok(0));
    }

    #[test]
    fn signatures_beyond_those_that_stripe_could_send_are_not_looked_at() {
        let new = v1("whsec_new", "1700000000");
        let after = |others: usize| {
            verdict(&format!("t=1700000000{},v1={new}", format!(",v1={}", "0".repeat(64)).repeat(others)))
        };
        assert_eq!(after(MOST_TAGS - 1), Ok(0));
        assert_eq!(after(MOST_TAGS), rejected(Cause::WrongSignature));
    }

    #[test]
    fn what_is_not_the_form_is_malformed_and_two_times_are_ambiguous() {
        let new = v1("whsec_new", "1700000000");
        for header in [
            "bad_header".to_owned(),
            "t=1700000000".to_owned(),
            format!("v1={new}"),
            format!("t=1700000000,v0={new}"),
            format!("t=1700000000,v1={}", new.to_uppercase()),
            format!("t=1700000000,v1={new}00"),
            format!("t=1700000000,v1={}", &new[..62]),
            format!("t=,v1={new}"),
            format!("t=now,v1={new}"),
            format!("t=+1700000000,v1={}", v1("whsec_new", "+1700000000")),
            format!("t=-1,v1={}", v1("whsec_new", "-1")),
            format!("t=99999999999999999999,v1={}", v1("whsec_new", "99999999999999999999")),
        ] {
            assert_eq!(verdict(&header), rejected(Cause::MalformedSignature), "{header}");
        }
        let twice = format!("t=1700000000,v1={new}, t=1700000000,v1={new}");
        assert_eq!(verdict(&twice), rejected(Cause::AmbiguousSignature));
    }

    #[test]
    fn the_tolerance_holds_on_both_sides_and_its_last_second_passes() {
        let header = format!("t={NOW},v1={}", v1("whsec_new", &NOW.to_string()));
        let default = Settings::with_keys(["whsec_new"]);
        let strict = Settings::with_keys(["whsec_new"]).with_tolerance(10);
        for (settings, tolerance) in [(default, 300), (strict, 10)] {
            assert_eq!(verdict_at(&header, NOW + tolerance, &settings), Ok(0));
            assert_eq!(verdict_at(&header, NOW - tolerance, &settings), Ok(0));
            let late = verdict_at(&header, NOW + tolerance + 1, &settings);
            assert_eq!(late, rejected(Cause::StaleTimestamp));
            let early = verdict_at(&header, NOW - tolerance - 1, &settings);
            assert_eq!(early, rejected(Cause::FutureTimestamp));
        }
    }

    #[test]
    fn a_wrong_signature_is_wrong_whatever_its_time() {
        for time in ["0", "1700000000", "9223372036854775807"] {
            let header = format!("t={time},v1={}", v1("whsec_other", time));
            assert_eq!(verdict(&header), rejected(Cause::WrongSignature), "{time}");
        }
        let far = format!("t=9223372036854775807,v1={}", v1("whsec_new", "9223372036854775807"));
        assert_eq!(verdict(&far), rejected(Cause::FutureTimestamp));
    }
}
