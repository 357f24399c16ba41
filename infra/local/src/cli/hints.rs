//! What would have made a rejected request be accepted.
//!
//! Nothing is guessed: what was captured is changed in the ways in which tools and people spoil it, and put through the
//! provider's own check again. One change that is enough is told before two that are.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tillwatch_providers::{Failure, Headers, Provider, Request, Settings};

use super::json;

/// A request as it was captured, and what it is checked with.
#[derive(Clone)]
pub(super) struct Captured {
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
    pub(super) settings: Settings,
    /// The keys and the URL of these settings, to be changed.
    pub(super) secrets: Vec<SecretString>,
    pub(super) url: Option<String>,
    /// What the secrets file has for the provider, if the settings are not from there.
    pub(super) file: Option<Settings>,
}

/// What is said of a change, and the change; it gives nothing where there is nothing to change.
type Change = (&'static str, fn(Captured) -> Option<Captured>);

/// Those of the same thing stand together; what replaces settings comes before what adds to them.
const CHANGES: &[Change] = &[
    ("the newline at the end of the body is left out", |captured| {
        captured.body(|body| {
            let line = body.strip_suffix('\n')?;
            Some(line.strip_suffix('\r').unwrap_or(line).to_owned())
        })
    }),
    ("the body ends with a newline", |captured| captured.body(|body| Some(format!("{body}\n")))),
    ("the byte order mark before the body is left out", |captured| {
        captured.body(|body| body.strip_prefix('\u{feff}').map(str::to_owned))
    }),
    ("the body's lines end with LF instead of CR LF", |captured| {
        captured.body(|body| Some(body.replace("\r\n", "\n")))
    }),
    ("the body's lines end with CR LF instead of LF", |captured| {
        captured.body(|body| (!body.contains('\r')).then(|| body.replace('\n', "\r\n")))
    }),
    ("the body's JSON is written without white space between its parts", |captured| {
        captured.body(json::compact)
    }),
    ("the body is decoded from base64", |captured| {
        let body = BASE64_STANDARD.decode(captured.body.trim_ascii()).ok()?;
        Some(Captured { body, ..captured })
    }),
    ("white space and quotes around header values are left out", |captured| {
        captured.headers(|name, value| (name.into(), unquoted(value).into()))
    }),
    ("the signature, which is right but in hexadecimal digits, is written in base64", |captured| {
        captured.headers(|name, value| {
            let tag = hex::decode(value).map_or_else(|_| value.into(), |tag| BASE64_STANDARD.encode(tag));
            (name.into(), tag)
        })
    }),
    ("the signature is written in lower case", |captured| {
        captured.headers(|name, value| (name.into(), value.to_ascii_lowercase()))
    }),
    ("the spaces in the signature are the plus signs that a form's decoding made spaces", |captured| {
        captured.headers(|name, value| (name.into(), value.replace(' ', "+")))
    }),
    ("header names are written with hyphens and without the HTTP_ of CGI", |captured| {
        captured.headers(|name, value| {
            (name.strip_prefix("http_").unwrap_or(name).replace('_', "-"), value.into())
        })
    }),
    ("it is checked with the keys of the secrets file", |captured| {
        let settings = captured.file.clone()?;
        Some(Captured { settings, ..captured }.with_url())
    }),
    ("white space and quotes around the secret are left out", |captured| {
        captured.secrets(|secret| unquoted(secret).to_owned())
    }),
    ("the secret begins with whsec_", |captured| {
        captured.secrets(|secret| format!("whsec_{}", secret.trim_start_matches("whsec_")))
    }),
    ("the secret does not begin with whsec_", |captured| {
        captured.secrets(|secret| secret.trim_start_matches("whsec_").to_owned())
    }),
    ("the URL has no slash at its end", |captured| {
        captured.url(|url| url.strip_suffix('/').map(str::to_owned))
    }),
    ("the URL has a slash at its end", |captured| captured.url(|url| Some(format!("{url}/")))),
    ("the URL begins with https:", |captured| {
        captured.url(|url| url.strip_prefix("http:").map(|rest| format!("https:{rest}")))
    }),
    ("the URL begins with http:", |captured| {
        captured.url(|url| url.strip_prefix("https:").map(|rest| format!("http:{rest}")))
    }),
    ("the URL has no query", |captured| {
        captured.url(|url| url.split_once('?').map(|(before, _)| before.to_owned()))
    }),
    ("white space around the URL is left out", |captured| captured.url(|url| Some(url.trim().to_owned()))),
    ("the clock stands near the signed time (--now)", |captured| {
        let settings = captured.settings.clone().with_tolerance(u32::MAX);
        Some(Captured { settings, ..captured })
    }),
];

/// What must be changed for the request to be accepted; none if nothing known here does it.
pub(super) fn hint(provider: &dyn Provider, captured: &Captured, now: Timestamp) -> Option<String> {
    let changed: Vec<_> = CHANGES
        .iter()
        .enumerate()
        .filter_map(|(index, (said, change))| Some((index, *said, change(captured.clone())?)))
        .collect();
    let accepted = |captured: &Captured| captured.check(provider, now).is_ok();
    if let Some((_, said, _)) = changed.iter().find(|(_, _, changed)| accepted(changed)) {
        return Some((*said).to_owned());
    }
    changed.into_iter().find_map(|(index, first, changed)| {
        let (second, _) = CHANGES[index + 1..]
            .iter()
            .find(|(_, change)| change(changed.clone()).is_some_and(|both| accepted(&both)))?;
        Some(format!("{first} and {second}"))
    })
}

impl Captured {
    /// Which of the keys signed the request, or why it is not believed.
    pub(super) fn check(&self, provider: &dyn Provider, now: Timestamp) -> Result<usize, Failure> {
        let fingerprints = &self.settings.fingerprints;
        let request = Request::arrived(provider, &self.headers, self.body.clone(), fingerprints);
        let checked = request.check(provider, &self.settings, now);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn body(self, change: fn(&str) -> Option<String>) -> Option<Self> {
        let body = change(std::str::from_utf8(&self.body).ok()?)?.into_bytes();
        (body != self.body).then_some(Self { body, ..self })
    }

    fn headers(self, change: fn(&str, &str) -> (String, String)) -> Option<Self> {
        let headers: Headers = self.headers.iter().map(|(name, value)| change(name, value)).collect();
        (headers != self.headers).then_some(Self { headers, ..self })
    }

    fn secrets(self, change: fn(&str) -> String) -> Option<Self> {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        let changed: Vec<_> = secrets.clone().map(change).collect();
        let settings = (!secrets.eq(&changed)).then(|| Settings::with_keys(changed))?;
        Some(Self { settings, ..self }.with_url())
    }

    fn url(self, change: fn(&str) -> Option<String>) -> Option<Self> {
        let url = change(self.url.as_deref()?).filter(|url| self.url.as_ref() != Some(url))?;
        Some(Self { url: Some(url), ..self }.with_url())
    }

    fn with_url(self) -> Self {
        match &self.url {
            Some(url) => Self { settings: self.settings.clone().with_url(url), ..self },
            None => self,
        }
    }
}

/// The text without white space and quotes around it, as copying brings them along.
fn unquoted(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
}

#[cfg(test)]
mod tests {
    use tillwatch_providers::named;

    use super::*;

    const NOW: i64 = 1_795_474_980;
    const URL: &str = "https://example.com/hooks";
    const BODY: &str = "{\"a\":1}";

    /// What the provider would send, by default what it would send for `BODY`.
    fn captured(provider: &str, body: &str) -> Captured {
        let settings = Settings::with_keys(["key"]).with_url(URL);
        let now = Timestamp::from_second(NOW).unwrap();
        Captured {
            headers: named(provider)
                .unwrap()
                .sign(&settings, &Request::new(Headers::new(), body.into()), now)
                .unwrap(),
            body: body.into(),
            settings: settings.clone(),
            secrets: vec!["key".to_owned().into()],
            url: Some(URL.to_owned()),
            file: None,
        }
    }

    fn hinted(provider: &str, captured: &Captured) -> Option<String> {
        hint(named(provider).unwrap(), captured, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn a_body_that_a_tool_changed_is_found_out() {
        for (changed, expected) in [
            ("{\"a\":1}\n", "the newline at the end of the body is left out"),
            ("{\"a\":1}\r\n", "the newline at the end of the body is left out"),
            ("{\n  \"a\": 1\n}", "the body's JSON is written without white space between its parts"),
            ("eyJhIjoxfQ==\n", "the body is decoded from base64"),
        ] {
            for provider in ["square", "shopify", "stripe"] {
                let captured = Captured { body: changed.into(), ..captured(provider, BODY) };
                assert_eq!(hinted(provider, &captured).as_deref(), Some(expected), "{provider}");
            }
        }
    }

    #[test]
    fn a_url_that_is_not_quite_the_signed_one_is_found_out() {
        for (url, expected) in [
            ("https://example.com/hooks/", "the URL has no slash at its end"),
            ("http://example.com/hooks", "the URL begins with https:"),
            ("https://example.com/hooks?x=1", "the URL has no query"),
        ] {
            let captured = Captured { url: Some(url.to_owned()), ..captured("square", BODY) }.with_url();
            assert_eq!(hinted("square", &captured).as_deref(), Some(expected));
        }
    }

    #[test]
    fn two_changes_are_told_together_and_one_alone_if_it_is_enough() {
        let url = Some("http://example.com/hooks".to_owned());
        let captured = Captured { url, body: b"{\"a\":1}\n".to_vec(), ..captured("square", BODY) }.with_url();
        let told = hinted("square", &captured).unwrap();
        assert_eq!(told, "the newline at the end of the body is left out and the URL begins with https:");
    }

    #[test]
    fn a_signature_in_another_encoding_is_found_out() {
        let mut captured = captured("shopify", BODY);
        captured.headers = captured
            .headers
            .iter()
            .map(|(name, value)| (name, hex::encode(BASE64_STANDARD.decode(value).unwrap())))
            .collect();
        assert!(hinted("shopify", &captured).unwrap().contains("hexadecimal"));
    }

    #[test]
    fn a_stale_time_is_told_from_a_wrong_signature() {
        let captured = captured("stripe", BODY);
        let later = Timestamp::from_second(NOW + 86_400).unwrap();
        let told = hint(named("stripe").unwrap(), &captured, later);
        assert_eq!(told.as_deref(), Some("the clock stands near the signed time (--now)"));
    }

    #[test]
    fn keys_of_the_file_are_tried() {
        let mut captured = captured("shopify", BODY);
        captured.settings = Settings::with_keys(["another"]);
        captured.secrets = vec!["another".to_owned().into()];
        assert_eq!(hinted("shopify", &captured), None);
        captured.file = Some(Settings::with_keys(["newer", "key"]));
        assert_eq!(
            hinted("shopify", &captured).as_deref(),
            Some("it is checked with the keys of the secrets file")
        );
    }

    #[test]
    fn what_nothing_explains_gets_no_hint() {
        let captured = Captured { body: b"{\"a\":2}".to_vec(), ..captured("square", BODY) };
        assert_eq!(hinted("square", &captured), None);
    }
}
