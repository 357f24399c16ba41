//! The secret in the URL: `?key=…`. Odoo signs nothing.

use jiff::Timestamp;

use crate::request::{FINGERPRINT, SECRET};
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified};

/// Which of the URL's secrets the request came with.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    settings.open_secret(request.headers().only(FINGERPRINT), now)
}

pub(super) fn sign(settings: &Settings, now: Timestamp) -> Result<Headers, SettingsError> {
    Ok(Headers::from_iter([(SECRET, settings.live_url_keys(now)?.newest())]))
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::Cause;

    use super::*;
    use crate::odoo::Odoo;
    use crate::request::QUERY;

    const NEW: &str = "0123456789abcdef";
    const OLD: &str = "fedcba9876543210";

    fn verdict(settings: &Settings, headers: &[(&str, &str)]) -> Result<Proof, Failure> {
        let headers = headers.iter().copied().collect();
        let request = Request::arrived(&Odoo, &headers, b"{}".to_vec(), &settings.fingerprints);
        let checked = request.check(&Odoo, settings, Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().clone()).map_err(|unbelieved| unbelieved.failure)
    }

    #[test]
    fn a_live_secret_in_the_url_proves_the_request_and_says_which_it_is() {
        let settings = Settings::with_url_keys([NEW, OLD]);
        assert_eq!(verdict(&settings, &[(QUERY, "key=0123456789abcdef")]).unwrap().position, 0);
        assert_eq!(verdict(&settings, &[(QUERY, "a=b&key=fedcba9876543210")]).unwrap().position, 1);
    }

    #[test]
    fn another_secret_none_and_two_prove_nothing() {
        let settings = Settings::with_url_keys([NEW, OLD]);
        let cause = |query: &str| verdict(&settings, &[(QUERY, query)]).unwrap_err();
        assert_eq!(cause("key=0123456789abcdeF"), Cause::WrongSecret.into());
        assert_eq!(cause("key="), Cause::WrongSecret.into());
        assert_eq!(cause("secret=0123456789abcdef"), Cause::MissingSecret.into());
        assert_eq!(cause("key=0123456789abcdef&key=fedcba9876543210"), Cause::AmbiguousSignature.into());
    }

    #[test]
    fn without_a_secret_in_the_settings_nothing_can_be_believed() {
        let failure = verdict(&Settings::with_keys(["signing"]), &[(QUERY, "key=signing")]).unwrap_err();
        assert_eq!(failure, SettingsError::NoUrlKey.into());
    }

    #[test]
    fn what_is_signed_is_believed() {
        let settings = Settings::with_url_keys([NEW, OLD]);
        let signed = sign(&settings, Timestamp::UNIX_EPOCH).unwrap();
        let pairs: Vec<_> = signed.iter().collect();
        assert_eq!(verdict(&settings, &pairs).unwrap().position, 0);
    }
}
