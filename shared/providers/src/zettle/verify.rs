//! `hex(HMAC-SHA256(signing key as text, timestamp + "." + payload))`, of the two texts in the body's JSON.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use super::envelope::Envelope;
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "x-izettle-signature";

/// Which key signed the payload. Only of what is rightly signed is said that it is another organisation's.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let keys = settings.live_keys(now)?;
    let tag = hmac::hex_header(request.headers().only(SIGNATURE)?)?;
    // A body of another shape holds nothing that could have been signed.
    let envelope = Envelope::read(request.body()).map_err(|_| Cause::WrongSignature)?;
    let proof = hmac::matching_key(&keys, &signed(&envelope), &[tag]).ok_or(Cause::WrongSignature)?;
    let is_its_own = match envelope.signed_organisation() {
        Some(organisation) => envelope.organization_uuid.as_ref() == Some(&organisation),
        // Of a key that several organisations share it is not told whose payload this is.
        None => proof.own,
    };
    if is_its_own { Ok(proof) } else { Err(Cause::OtherAccount.into()) }
}

/// A body of another shape gets the tag of nothing, which proves nothing.
pub(super) fn sign(settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError> {
    let keys = settings.live_keys(now)?;
    let tag = match Envelope::read(body) {
        Ok(envelope) => hmac::tag(keys.newest().as_bytes(), &signed(&envelope)),
        Err(_) => hmac::tag(keys.newest().as_bytes(), &[]),
    };
    Ok(Headers::from_iter([(SIGNATURE, hex::encode(tag))]))
}

fn signed(envelope: &Envelope) -> [&[u8]; 3] {
    [envelope.timestamp.as_bytes(), b".", envelope.payload.as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::super::Zettle;
    use super::*;

    /// The payload names the organisation `O`, and holds what must be undone once and no more than once.
    const BODY: &str = r#"{"organizationUuid":"O","eventName":"PurchaseCreated","payload":"{\"organizationUuid\":\"O\",\"name\":\"Caf\u00e9 \\\"Big\\\" \\\\ \/ \\u2615\"}","timestamp":"2021-04-19T13:09:40.812Z"}"#;
    const SIGNED: &str =
        "2021-04-19T13:09:40.812Z.{\"organizationUuid\":\"O\",\"name\":\"Café \\\"Big\\\" \\\\ / \\u2615\"}";

    fn tag_of(key: &str, signed: &str) -> String {
        hex::encode(hmac::tag(key.as_bytes(), &[signed.as_bytes()]))
    }

    fn verdict_under(settings: &Settings, body: &str, tags: &[&str]) -> Result<usize, Failure> {
        let headers = tags.iter().map(|tag| (SIGNATURE, *tag)).collect();
        let request = Request::new(headers, body.as_bytes().to_vec());
        let checked = request.check(&Zettle, settings, Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn verdict(body: &str, tag: &str) -> Result<usize, Failure> {
        verdict_under(&shared(), body, &[tag])
    }

    fn shared() -> Settings {
        Settings::with_keys(["new", "old"])
    }

    fn own() -> Settings {
        Settings::default().of_connection(&shared())
    }

    fn rejected(cause: Cause) -> Result<usize, Failure> {
        Err(Failure::Rejected(cause))
    }

    #[test]
    fn the_payload_is_signed_as_it_reads_when_the_bodys_json_is_undone_once() {
        assert_eq!(verdict(BODY, &tag_of("new", SIGNED)), Ok(0));
        assert_eq!(verdict(BODY, &tag_of("old", SIGNED)), Ok(1));
        let never = SIGNED.replace('"', "\\\"");
        let twice = SIGNED.replace('\\', "");
        for signed in [never.as_str(), &twice, BODY] {
            assert_eq!(verdict(BODY, &tag_of("new", signed)), rejected(Cause::WrongSignature), "{signed}");
        }
    }

    #[test]
    fn a_body_that_says_the_same_in_other_bytes_has_the_same_signature() {
        let spaced = BODY.replace(r#","eventName""#, " ,\n\"eventName\"").replace(r"\u00e9", "é");
        assert_eq!(verdict(&spaced, &tag_of("new", SIGNED)), Ok(0));
    }

    #[test]
    fn a_signature_holds_for_one_time_and_one_payload() {
        let tag = tag_of("new", SIGNED);
        for body in [BODY.replace("40.812Z", "41.812Z"), BODY.replace("Big", "Bag")] {
            assert_eq!(verdict(&body, &tag), rejected(Cause::WrongSignature), "{body}");
        }
    }

    #[test]
    fn a_body_in_which_nothing_is_signed_is_wrongly_signed_however_it_is() {
        for body in [
            "{}",
            "null",
            "\u{feff}{}",
            r#"{"timestamp":"t","payload":{"data":"payload"}}"#,
            r#"{"timestamp":1,"payload":"p"}"#,
            r#"{"timestamp":"t","payload":"p","payload":"q"}"#,
            r#"{"timestamp":"t","payload":"\ud83d"}"#,
        ] {
            for signed in ["", ".", "t.p", "t.q"] {
                let verdict = verdict_under(&own(), body, &[&tag_of("new", signed)]);
                assert_eq!(verdict, rejected(Cause::WrongSignature), "{body}");
            }
        }
    }

    #[test]
    fn a_signature_is_written_in_one_way_and_comes_once() {
        let tag = tag_of("new", SIGNED);
        for written in [tag.to_uppercase(), tag[..62].to_owned(), format!("{tag}00"), format!("sha256={tag}")]
        {
            assert_eq!(verdict(BODY, &written), rejected(Cause::MalformedSignature), "{written}");
        }
        assert_eq!(verdict(BODY, &format!("{tag}, {tag}")), rejected(Cause::AmbiguousSignature));
        assert_eq!(verdict_under(&shared(), BODY, &[&tag, &tag]), rejected(Cause::AmbiguousSignature));
        assert_eq!(verdict_under(&shared(), BODY, &[]), rejected(Cause::MissingSignature));
        let keyless = verdict_under(&Settings::default(), BODY, &[&tag]);
        assert_eq!(keyless, Err(SettingsError::NoKey.into()));
    }

    #[test]
    fn an_organisation_that_the_payload_does_not_name_is_another_whoever_owns_the_key() {
        let tag = tag_of("new", SIGNED);
        for body in [
            BODY.replace(r#"{"organizationUuid":"O""#, r#"{"organizationUuid":"P""#),
            BODY.replace(r#"{"organizationUuid":"O","#, "{"),
        ] {
            for settings in [shared(), own()] {
                assert_eq!(verdict_under(&settings, &body, &[&tag]), rejected(Cause::OtherAccount), "{body}");
            }
        }
    }

    #[test]
    fn a_payload_that_names_no_organisation_is_the_key_owners_and_of_a_shared_key_nobodys() {
        for payload in [
            r#"{\"type\":\"ApplicationConnectionRemoved\"}"#,
            "no JSON",
            "",
            r#"{\"organizationUuid\":null}"#,
        ] {
            let body = format!(
                r#"{{"organizationUuid":"O","eventName":"E","timestamp":"t","payload":"{payload}"}}"#
            );
            let tag = tag_of("old", &format!("t.{}", payload.replace('\\', "")));
            assert_eq!(verdict_under(&own(), &body, &[&tag]), Ok(1), "{payload}");
            assert_eq!(verdict_under(&shared(), &body, &[&tag]), rejected(Cause::OtherAccount), "{payload}");
        }
    }

    #[test]
    fn what_is_signed_here_is_believed_here_and_nothing_can_be_signed_in_a_body_of_another_shape() {
        let tag = |body: &str| {
            let headers = sign(&shared(), body.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
            headers.get(SIGNATURE).unwrap().to_owned()
        };
        assert_eq!(verdict(BODY, &tag(BODY)), Ok(0));
        assert_eq!(verdict("[]", &tag("[]")), rejected(Cause::WrongSignature));
    }
}
