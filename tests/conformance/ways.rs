//! In which ways a provider proves its requests, and what each way is worth.

use tillwatch_domain::Cause;
use tillwatch_providers::request::SECRET;
use tillwatch_providers::{ALL, Headers, Key, Provider, Request, Settings, SettingsError};

use crate::{Sample, URL, now, samples};

/// A way in which requests are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a signature over what they say.
    Signature,
    /// By a secret that is sent as it is. It says nothing of what comes with it.
    OpenSecret,
}

impl Way {
    const ALL: [Self; 2] = [Self::Signature, Self::OpenSecret];

    /// Settings in which nothing but this way is configured, with these keys.
    pub(crate) fn settings<const N: usize>(self, keys: [&str; N]) -> Settings {
        let keys = keys.into_iter().map(|key| Key::new(format!("{key}-secret-of-sixteen"))).collect();
        match self {
            Self::Signature => Settings { signing_keys: keys, ..Settings::default() },
            Self::OpenSecret => Settings { url_keys: keys, ..Settings::default() },
        }
        .with_url(URL)
    }

    /// Why a request is rejected that carries no proof.
    pub(crate) fn missing(self) -> Cause {
        match self {
            Self::Signature => Cause::MissingSignature,
            Self::OpenSecret => Cause::MissingSecret,
        }
    }

    /// Why a request is rejected whose proof is of the right form and of no live key.
    pub(crate) fn wrong(self) -> Cause {
        match self {
            Self::Signature => Cause::WrongSignature,
            Self::OpenSecret => Cause::WrongSecret,
        }
    }

    /// What is wrong with settings that have no key for it.
    pub(crate) fn unset(self) -> SettingsError {
        match self {
            Self::Signature => SettingsError::NoKey,
            Self::OpenSecret => SettingsError::NoUrlKey,
        }
    }
}

/// The ways in which a provider proves itself, as it says by what it can sign with.
pub(crate) fn ways(provider: &dyn Provider) -> Vec<Way> {
    let signs = |way: &Way| {
        let request = Request::new(Headers::new(), b"{}".to_vec());
        provider.sign(&way.settings(["new"]), &request, now()).is_ok()
    };
    Way::ALL.into_iter().filter(signs).collect()
}

/// Providers that sign what a body says and not its bytes, so that it must be read to be verified: what can't be read is
/// never believed, and the same in other bytes is.
pub(crate) fn reads_to_verify(provider: &dyn Provider) -> bool {
    matches!(provider.name(), "twilio" | "zettle")
}

/// Providers whose tag is taken in hexadecimal digits and in base64, for it is not certain which they write.
pub(crate) fn takes_two_encodings(provider: &dyn Provider) -> bool {
    provider.name() == "loyverse"
}

#[test]
fn every_provider_has_a_way_and_an_open_secret_is_one_that_it_says_it_has() {
    for &provider in ALL {
        let ways = ways(provider);
        assert!(!ways.is_empty(), "{}", provider.name());
        assert_eq!(ways.contains(&Way::OpenSecret), provider.open_secret().is_some(), "{}", provider.name());
    }
}

#[test]
fn what_is_signed_with_is_of_the_way_that_is_configured() {
    for sample in samples() {
        let signed = sample.provider.sign(&sample.way.settings(["new"]), &sample.unsigned(), now());
        let signed = signed.expect("a signature");
        let (_, secret) = signed.iter().next().expect("one header");
        assert_eq!(secret == "new-secret-of-sixteen", !sample.is_signed(), "{}", sample.name());
        assert!(signed.get(SECRET).is_none() || !sample.is_signed(), "{}", sample.name());
    }
}

#[test]
fn fresh_settings_can_prove_a_sample() {
    for &provider in ALL {
        let fresh = provider.fresh_settings(&"0123456789abcdef".repeat(4), URL);
        let settings: Settings = serde_json::from_value(fresh).expect("settings");
        let configured = if settings.signing_keys.is_empty() { Way::OpenSecret } else { Way::Signature };
        let sample = Sample::of(provider, configured);
        let signed = provider.sign(&settings, &sample.unsigned(), now()).expect("a signature");
        let headers = sample.headers.iter().chain(signed.iter()).collect();
        let request = Request::arrived(provider, &headers, sample.body.clone(), &settings.fingerprints);
        let proof = request.check(provider, &settings, now()).map(|request| request.proof().position);
        assert_eq!(proof.ok(), Some(0), "{}", provider.name());
        assert!(ways(provider).contains(&configured), "{}", provider.name());
    }
}
