//! `base64(HMAC-SHA1(auth token as text, URL + every name and value of the form, sorted))`; under a shared key also by
//! HMAC-SHA256.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tillwatch_domain::Cause;

use crate::form::Form;
use crate::settings::Live;
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "x-twilio-signature";
/// Names the shared key and the algorithm: `key=webhooks_sharedkey_…,algorithm=HMAC_SHA256`.
pub(super) const SIGNED_BY: &str = "x-twilio-webhooks-signature-settings";
/// The vectors' name of signing by such a key.
pub(crate) const SHARED_KEY: &str = "twilio-sharedkey";
/// The parameter of the URL that holds the hash of a body that is no form.
const BODY_HASH: &str = "bodySHA256";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

/// The shared key that a request claims, and how it was used; none, if it is signed with the auth token.
fn claim(headers: &Headers) -> Result<Option<(&str, Algorithm)>, Cause> {
    let header = match headers.only(SIGNED_BY) {
        Ok(header) => header,
        Err(Cause::MissingSignature) => return Ok(None),
        Err(other) => return Err(other),
    };
    let of = |name: &str| {
        let fields = header.split(',').filter_map(|field| field.split_once('='));
        let mut values = fields.filter(|(known, _)| known.trim() == name).map(|(_, value)| value.trim());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Cause::AmbiguousSignature),
        }
    };
    // Twilio's library reads a header without an algorithm as one of SHA-1.
    let algorithm = match of("algorithm")? {
        None => Algorithm::Sha1,
        Some(name) if name.eq_ignore_ascii_case("HMAC_SHA1") => Algorithm::Sha1,
        Some(name) if name.eq_ignore_ascii_case("HMAC_SHA256") => Algorithm::Sha256,
        Some(_) => return Err(Cause::MalformedSignature),
    };
    let key = of("key")?.filter(|key| !key.is_empty()).ok_or(Cause::MalformedSignature)?;
    Ok(Some((key, algorithm)))
}

/// The name of the shared key that a request claims.
pub(crate) fn claimed_key(headers: &Headers) -> Option<&str> {
    let header = headers.get(SIGNED_BY)?;
    header.split(',').find_map(|field| field.trim().strip_prefix("key="))
}

/// Which key signed the request. One that names a shared key is judged by that alone: any other choice would be the sender's.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let url = request.url(settings.url()?);
    let (keys, algorithm) = match claim(request.headers())? {
        None => (settings.live_keys(now)?, Algorithm::Sha1),
        Some((key, algorithm)) => {
            (settings.live_named_key(key, now).ok_or(Cause::WrongSignature)?, algorithm)
        }
    };
    let signature = request.headers().only(SIGNATURE)?;
    let (urls, rests) = (urls(&url), rests(request, &url));
    let messages = || urls.iter().flat_map(|url| rests.iter().map(|rest| [url.as_bytes(), rest]));
    let proof = match algorithm {
        Algorithm::Sha1 => {
            let tag = hmac::base64_tag(signature)?;
            messages().find_map(|message| hmac::matching_key1(&keys, &message, &tag))
        }
        Algorithm::Sha256 => {
            let tag = [hmac::base64_tag(signature)?];
            messages().find_map(|message| hmac::matching_key(&keys, &message, &tag))
        }
    };
    proof.ok_or(Failure::Rejected(Cause::WrongSignature))
}

/// Signed with the newest auth token; a body that Twilio could not sign is signed as it is, and believed by nobody.
pub(super) fn sign(
    settings: &Settings,
    request: &Request<Unverified>,
    now: Timestamp,
) -> Result<Headers, SettingsError> {
    let (keys, url): (Live<'_>, _) = (settings.live_keys(now)?, request.url(settings.url()?));
    let rests = rests(request, &url);
    let rest = rests.first().map_or(request.body(), Vec::as_slice);
    let tag = hmac::tag1(keys.newest().as_bytes(), &[url.as_bytes(), rest]);
    Ok(Headers::from_iter([(SIGNATURE, BASE64_STANDARD.encode(tag))]))
}

/// The ways to spell the URL: without a port, and with the one that it has or that its scheme means. Twilio signs either.
fn urls(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rfind(['@', ']']).map_or(0, |at| at + 1);
    let port = authority[host..].find(':').map_or(authority.len(), |at| host + at);
    let (host, port) = authority.split_at(port);
    let port = match port {
        "" if scheme.eq_ignore_ascii_case("https") => ":443",
        "" => ":80",
        given => given,
    };
    vec![format!("{scheme}://{host}{path}"), format!("{scheme}://{host}{port}{path}")]
}

/// What may have been signed after the URL so that all that the request says is covered; nothing, if nothing covers it.
fn rests(request: &Request<Unverified>, url: &str) -> Vec<Vec<u8>> {
    // Not the query that came: where the configured URL holds one of its own, only that is signed.
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if request.headers().method() == "GET" {
        let covered = request.body().is_empty() && query == request.headers().query();
        return if covered { vec![Vec::new()] } else { Vec::new() };
    }
    let mut rests = Vec::new();
    let hash = hex::encode(Sha256::digest(request.body()));
    if Form::read(query.as_bytes()).is_some_and(|query| query.one(BODY_HASH) == Ok(Some(&hash))) {
        rests.push(Vec::new());
    }
    if let Some(form) = Form::read(request.body()) {
        rests.push(
            form.sorted().into_iter().flat_map(|(name, value)| [name, value]).collect::<String>().into(),
        );
    }
    rests
}

#[cfg(test)]
mod tests {
    use super::super::Twilio;
    use super::*;
    use crate::Key;
    use crate::request::{METHOD, QUERY, SUFFIX};

    const URL: &str = "https://example.com/webhooks/twilio";
    const BODY: &[u8] = b"MessageSid=SM1&MessageStatus=sent";

    fn settings() -> Settings {
        let mut settings = Settings::with_keys(["new", "old"]).with_url(URL);
        settings.named_keys.insert("a".to_owned(), Key::new("shared a"));
        settings
    }

    fn verdict(pairs: &[(&str, &str)], body: &[u8]) -> Result<usize, Failure> {
        verdict_under(&settings(), pairs, body)
    }

    fn verdict_under(settings: &Settings, pairs: &[(&str, &str)], body: &[u8]) -> Result<usize, Failure> {
        let request = Request::new(pairs.iter().copied().collect(), body.to_vec());
        let checked = request.check(&Twilio, settings, Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn rejected(cause: Cause) -> Result<usize, Failure> {
        Err(Failure::Rejected(cause))
    }

    fn tag1(key: &str, text: &str) -> String {
        BASE64_STANDARD.encode(hmac::tag1(key.as_bytes(), &[text.as_bytes()]))
    }

    fn tag256(key: &str, text: &str) -> String {
        BASE64_STANDARD.encode(hmac::tag(key.as_bytes(), &[text.as_bytes()]))
    }

    fn form(url: &str) -> String {
        format!("{url}MessageSidSM1MessageStatussent")
    }

    #[test]
    fn every_vector_gets_its_verdict() {
        let vectors = crate::vectors::of("twilio");
        assert_eq!(vectors.len(), 12);
        for vector in vectors {
            let verdict = crate::vectors::judge(&vector);
            assert_eq!(verdict.is_accepted(), vector.valid, "{}: {verdict}", vector.id);
        }
    }

    #[test]
    fn what_twilios_own_libraries_sign_is_believed() {
        let mut settings = Settings::with_keys(["key-of-the-sdk-tests"])
            .with_url("https://hooks.example.com/webhooks/square");
        settings.named_keys.insert("a".to_owned(), Key::new("key-of-the-sdk-tests"));
        for (body, signature) in [
            ("MessageSid=SM1&MessageStatus=sent&To=%2B15551234567", "wFKxGqprJ8TIi+KqqbgzmeXSvf8="),
            (
                "Body=++h%C3%A9llo+%2B1+%26+50%25+%E2%98%95+&From=whatsapp%3A%2B15551234567&NumMedia=0",
                "UHxOOLtl/kQt9TKVzp7HajsJBOs=",
            ),
            ("b=&a=1&a=0&a=1&B=2&Empty=&Equals=a%3Db", "7rkIx+m50PoJZV29ql2u2kDGYAg="),
            ("%EE%80%80=x&%F0%9F%98%80=y&NUL=%00", "6IdPm900tV5LeD0dVU81tGtR8ZM="),
        ] {
            assert_eq!(verdict_under(&settings, &[(SIGNATURE, signature)], body.as_bytes()), Ok(0), "{body}");
        }
        let shared = [
            (SIGNED_BY, "key=a,algorithm=HMAC_SHA256"),
            (SIGNATURE, "P4M14UbNtE0Jep86N1rMKRA2T/ACLV1gayrR3ogZ3CQ="),
        ];
        let body = b"b=&a=1&a=0&a=1&B=2&Empty=&Equals=a%3Db";
        assert_eq!(verdict_under(&settings, &shared, body), Ok(0));
    }

    #[test]
    fn a_request_is_believed_under_each_live_token_with_the_port_and_without_it() {
        for (key, position) in [("new", 0), ("old", 1)] {
            for url in [URL, "https://example.com:443/webhooks/twilio"] {
                assert_eq!(verdict(&[(SIGNATURE, &tag1(key, &form(url)))], BODY), Ok(position), "{url}");
            }
        }
        let other = tag1("new", &form("https://example.com:80/webhooks/twilio"));
        assert_eq!(verdict(&[(SIGNATURE, &other)], BODY), rejected(Cause::WrongSignature));
    }

    #[test]
    fn a_port_is_found_after_a_users_name_and_an_address_in_brackets() {
        assert_eq!(
            urls("https://u:p@a.b:8443/c?d=e:f"),
            ["https://u:p@a.b/c?d=e:f", "https://u:p@a.b:8443/c?d=e:f"]
        );
        assert_eq!(urls("http://[::1]?a"), ["http://[::1]?a", "http://[::1]:80?a"]);
        assert_eq!(urls("http://[::1]:81"), ["http://[::1]", "http://[::1]:81"]);
        assert_eq!(urls("no URL"), ["no URL"]);
    }

    #[test]
    fn the_rest_of_the_path_and_the_query_are_signed_as_they_came() {
        let signed = tag1("new", &form(&format!("{URL}/harbour?x='%27")));
        let came = |query: &str| verdict(&[(SIGNATURE, &signed), (SUFFIX, "/harbour"), (QUERY, query)], BODY);
        assert_eq!(came("x='%27"), Ok(0));
        assert_eq!(came("x=%27%27"), rejected(Cause::WrongSignature));
    }

    #[test]
    fn the_order_and_the_repetition_of_parameters_do_not_matter_and_their_values_do() {
        let signed = tag1("new", &form(URL));
        let came = |body: &[u8]| verdict(&[(SIGNATURE, &signed)], body);
        assert_eq!(came(b"MessageStatus=sent&MessageSid=SM1&MessageSid=SM1"), Ok(0));
        for body in [
            &b"MessageSid=SM1&MessageStatus=sent+"[..],
            b"MessageSid=SM2&MessageStatus=sent",
            b"MessageSid=SM1",
        ] {
            assert_eq!(came(body), rejected(Cause::WrongSignature));
        }
    }

    #[test]
    fn a_form_that_can_not_be_decoded_is_not_believed_however_it_is_signed() {
        for body in [&b"MessageSid=%"[..], b"MessageSid=\xff", b"MessageSid=1&"] {
            let request = Request::new(Headers::new(), body.to_vec());
            let signed = sign(&settings(), &request, Timestamp::UNIX_EPOCH).unwrap();
            let signature = signed.get(SIGNATURE).unwrap();
            assert_eq!(verdict(&[(SIGNATURE, signature)], body), rejected(Cause::WrongSignature));
        }
    }

    #[test]
    fn a_body_that_is_no_form_is_believed_by_its_hash_in_the_url_alone() {
        let body = br#"{"a":1}"#;
        let query = format!("bodySHA256={}", hex::encode(Sha256::digest(body)));
        let signed = tag1("new", &format!("{URL}?{query}"));
        let pairs = [(SIGNATURE, signed.as_str()), (QUERY, query.as_str())];
        assert_eq!(verdict(&pairs, body), Ok(0));
        assert_eq!(verdict(&pairs, br#"{"a":2}"#), rejected(Cause::WrongSignature));
        let unhashed = tag1("new", URL);
        assert_eq!(verdict(&[(SIGNATURE, &unhashed)], body), rejected(Cause::WrongSignature));
        let twice = format!("{query}&bodySHA256=00");
        let signed = tag1("new", &format!("{URL}?{twice}"));
        assert_eq!(verdict(&[(SIGNATURE, &signed), (QUERY, &twice)], body), rejected(Cause::WrongSignature));
    }

    #[test]
    fn a_hash_in_a_query_that_is_not_signed_covers_nothing() {
        let settings = Settings::with_keys(["new"]).with_url("https://example.com/w?x=1");
        let signed = tag1("new", "https://example.com/w?x=1");
        let body = br#"{"a":1}"#;
        let query = format!("bodySHA256={}", hex::encode(Sha256::digest(body)));
        let verdict = verdict_under(&settings, &[(SIGNATURE, &signed), (QUERY, &query)], body);
        assert_eq!(verdict, rejected(Cause::WrongSignature));
    }

    #[test]
    fn a_get_is_believed_by_its_signed_query_and_brings_no_body() {
        let query = "MessageSid=SM1&MessageStatus=sent";
        let signed = tag1("new", &format!("{URL}?{query}"));
        let pairs = [(SIGNATURE, signed.as_str()), (METHOD, "GET"), (QUERY, query)];
        assert_eq!(verdict(&pairs, b""), Ok(0));
        assert_eq!(verdict(&pairs, b"a=b"), rejected(Cause::WrongSignature));
        let fixed = Settings::with_keys(["new"]).with_url(format!("{URL}?{query}"));
        assert_eq!(verdict_under(&fixed, &pairs, b""), Ok(0));
        let other = [(SIGNATURE, signed.as_str()), (METHOD, "GET"), (QUERY, "MessageSid=SM2")];
        assert_eq!(verdict_under(&fixed, &other, b""), rejected(Cause::WrongSignature));
    }

    #[test]
    fn a_shared_key_is_chosen_by_its_name_and_nothing_stands_in_for_it() {
        let by = |signed_by: &str, signature: &str| {
            verdict(&[(SIGNED_BY, signed_by), (SIGNATURE, signature)], BODY)
        };
        let (right, token) = (tag256("shared a", &form(URL)), tag256("new", &form(URL)));
        assert_eq!(by("key=a,algorithm=HMAC_SHA256", &right), Ok(0));
        assert_eq!(by("algorithm=hmac_sha256, key=a", &right), Ok(0));
        assert_eq!(by("key=a,algorithm=HMAC_SHA256", &token), rejected(Cause::WrongSignature));
        assert_eq!(by("key=b,algorithm=HMAC_SHA256", &token), rejected(Cause::WrongSignature));
        assert_eq!(by("key=b,algorithm=HMAC_SHA256", &right), rejected(Cause::WrongSignature));
        let legacy = tag1("shared a", &form(URL));
        assert_eq!(by("key=a,algorithm=HMAC_SHA1", &legacy), Ok(0));
        assert_eq!(by("key=a", &legacy), Ok(0));
        assert_eq!(by("", &tag1("old", &form(URL))), Ok(1));
        assert_eq!(verdict(&[(SIGNATURE, &legacy)], BODY), rejected(Cause::WrongSignature));
    }

    #[test]
    fn what_names_no_key_two_keys_or_an_algorithm_unheard_of_is_refused() {
        let by = |signed_by: &str| {
            let right = tag256("shared a", &form(URL));
            verdict(&[(SIGNED_BY, signed_by), (SIGNATURE, &right)], BODY)
        };
        for header in ["algorithm=HMAC_SHA256", "key=,algorithm=HMAC_SHA256", "key=a,algorithm=HMAC_MD5", "a"]
        {
            assert_eq!(by(header), rejected(Cause::MalformedSignature), "{header}");
        }
        for header in ["key=b,key=a,algorithm=HMAC_SHA256", "key=a,algorithm=HMAC_SHA1,algorithm=HMAC_SHA256"]
        {
            assert_eq!(by(header), rejected(Cause::AmbiguousSignature), "{header}");
        }
    }
}
