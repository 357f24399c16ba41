//! Meta's question whether the URL is ours: `GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…`.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::form::Form;
use crate::{Failure, Reply, Request, Settings, Unverified, hmac};

/// The longest challenge that is sent back; Meta's are ten digits.
const LONGEST_CHALLENGE: usize = 256;

/// The challenge, to whoever knows the word. Whoever does not learns nothing else of what is wrong.
pub(super) fn answer(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Reply, Failure> {
    let words = settings.live_verify_tokens(now)?;
    let query = Form::read(request.headers().query().as_bytes()).ok_or(Cause::MissingSecret)?;
    let given = only(&query, "hub.verify_token")?.ok_or(Cause::MissingSecret)?;
    words.proved_by(|word| hmac::same(word, given.as_bytes())).ok_or(Cause::WrongSecret)?;
    let mode = only(&query, "hub.mode")?;
    let fits = |challenge: &&str| {
        challenge.len() <= LONGEST_CHALLENGE && challenge.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match only(&query, "hub.challenge")?.filter(fits) {
        Some(challenge) if mode == Some("subscribe") => Ok(Reply::text(challenge)),
        _ => Err(Cause::MalformedSignature.into()),
    }
}

/// The value of that name, if it is not empty; twice, even the same, is once too often.
fn only<'a>(query: &'a Form, name: &str) -> Result<Option<&'a str>, Cause> {
    let mut values = query.all(name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Cause::AmbiguousSignature),
        (value, None) => Ok(value.filter(|value| !value.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Meta;
    use super::*;
    use crate::request::{METHOD, QUERY};
    use crate::{Headers, Key, Provider as _, SettingsError};

    fn asked_under(words: &[&str], query: &str) -> Result<Reply, Failure> {
        let headers = Headers::from_iter([(METHOD, "GET"), (QUERY, query)]);
        let verify_tokens = words.iter().map(|word| Key::new(*word)).collect();
        let settings = Settings { verify_tokens, ..Settings::default() };
        Meta.handshake(&Request::new(headers, vec![]), &settings, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn asked(query: &str) -> Result<Reply, Failure> {
        asked_under(&["new word", "old"], query)
    }

    fn rejected(cause: Cause) -> Result<Reply, Failure> {
        Err(cause.into())
    }

    #[test]
    fn whoever_knows_a_live_word_gets_exactly_the_challenge() {
        for word in ["new%20word", "new+word", "old"] {
            let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={word}");
            assert_eq!(asked(&query), Ok(Reply::text("1158201444")), "{word}");
        }
    }

    #[test]
    fn another_word_or_none_is_refused() {
        let with = |more: &str| asked(&format!("hub.mode=subscribe&hub.challenge=1{more}"));
        for word in ["new", "new%20words", "New%20word", "ol"] {
            assert_eq!(with(&format!("&hub.verify_token={word}")), rejected(Cause::WrongSecret), "{word}");
        }
        for more in ["", "&hub.verify_token=", "&hub_verify_token=old", "&hub.verify_token=%"] {
            assert_eq!(with(more), rejected(Cause::MissingSecret), "{more}");
        }
        assert_eq!(asked(""), rejected(Cause::MissingSecret));
    }

    #[test]
    fn a_parameter_that_came_twice_is_refused() {
        let query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=old";
        for more in ["hub.mode=subscribe", "hub.challenge=1", "hub.challenge=", "hub.verify_token=old"] {
            assert_eq!(asked(&format!("{query}&{more}")), rejected(Cause::AmbiguousSignature), "{more}");
        }
    }

    #[test]
    fn a_challenge_that_is_long_or_not_printable_is_not_sent_back() {
        let with = |challenge: &str| {
            asked(&format!("hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token=old"))
        };
        assert!(with(&"7".repeat(256)).is_ok());
        for challenge in [&"7".repeat(257), "", "a%0d%0ab", "%C3%A9", "a+b"] {
            assert_eq!(with(challenge), rejected(Cause::MalformedSignature), "{challenge}");
        }
    }

    #[test]
    fn another_question_than_whether_to_subscribe_is_not_answered() {
        for mode in ["hub.mode=unsubscribe&", "hub.mode=&", ""] {
            let query = format!("{mode}hub.challenge=1&hub.verify_token=old");
            assert_eq!(asked(&query), rejected(Cause::MalformedSignature), "{mode}");
        }
    }

    #[test]
    fn without_a_word_of_ours_nobody_is_answered() {
        for words in [&[][..], &[""], &[" "]] {
            let query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
            assert_eq!(asked_under(words, query), Err(SettingsError::NoVerifyToken.into()));
        }
    }

    #[test]
    fn a_post_is_no_question() {
        let headers =
            Headers::from_iter([(QUERY, "hub.mode=subscribe&hub.challenge=1&hub.verify_token=old")]);
        let request = Request::new(headers, vec![]);
        assert!(Meta.handshake(&request, &Settings::default(), Timestamp::UNIX_EPOCH).is_none());
    }
}
