//! PetPooja's check: its menu, for nothing cheaper is documented. It is large, so it is seldom asked for.
//!
//! Facts ("Online Ordering API v2.1.0"): the credentials are headers; whether it went well stands in the body, as
//! `success`, and a failure may come with `200`.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_domain::health::Trouble;

use crate::call::{Call, Method, Response};
use crate::checks::{Checks, Judged, Subject, Unchecked, read, success};
use crate::subscriptions::text;

/// Every six hours where others are checked every five minutes.
const SELDOM: u32 = 72;
/// The largest menu that is read, in bytes.
const LARGEST: usize = 8 * 1024 * 1024;
/// It takes its time to be put together.
const LATE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(crate) struct PetPoojaChecks;

fn code(body: &Value) -> Option<&str> {
    text(body, "/errorCode")
}

/// Whether a word or a flag says that it went well.
fn went_well(said: Option<&Value>) -> Option<bool> {
    match said? {
        Value::Bool(said) => Some(*said),
        Value::Number(number) => Some(number.as_i64() == Some(1)),
        Value::String(text) => Some(matches!(text.trim(), "1" | "true")),
        _ => None,
    }
}

impl Checks for PetPoojaChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let restaurant = of.own("restaurant_id")?;
        let mut call = Call::new(Method::Post, of.own("menu_url")?, "/mapped_restaurant_menus");
        for (header, setting) in
            [("app-key", "app_key"), ("app-secret", "app_secret"), ("access-token", "access_token")]
        {
            call = call.header(header, of.own(setting)?);
        }
        Ok(vec![call.up_to(LARGEST).json(&json!({"restID": restaurant}))])
    }

    fn judge(&self, _: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) => return judged,
        };
        match went_well(body.get("success")) {
            Some(true) => success(response),
            // What it says is a sentence; most of what it can be is that one of the credentials is not good.
            Some(false) => Judged::of(Trouble::TokenRefused, code(&body)),
            None => Judged::of(Trouble::Unreadable, None),
        }
    }

    fn seldom(&self) -> u32 {
        SELDOM
    }

    fn late(&self) -> Duration {
        LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{called, trouble};

    const OWN: &[(&str, &str)] = &[
        ("restaurant_id", "r1"),
        ("menu_url", "https://petpooja.example.com/V1/mapped_restaurant_menus"),
        ("app_key", "k"),
        ("app_secret", "s"),
        ("access_token", "t"),
    ];

    #[test]
    fn the_menu_is_asked_for_where_it_is_configured() {
        assert_eq!(called(&PetPoojaChecks, OWN).unwrap(), [format!("POST {}", OWN[1].1)]);
        let own: crate::call::Words = OWN.iter().copied().collect();
        let of = Subject { own: &own, shared: &crate::call::Words::default() };
        assert_eq!(PetPoojaChecks.calls(&of).unwrap()[0].largest, Some(LARGEST));
        assert_eq!(called(&PetPoojaChecks, &OWN[..1]).unwrap_err(), Unchecked::Missing("menu_url"));
    }

    #[test]
    fn whether_it_went_well_stands_in_the_body() {
        for (body, wanted) in [
            (r#"{"success":"1","restaurants":[]}"#, None),
            (r#"{"success":true}"#, None),
            (r#"{"success":"0","message":"Invalid access token"}"#, Some(Trouble::TokenRefused)),
            (r#"{"success":false}"#, Some(Trouble::TokenRefused)),
            (r#"{"message":"Forbidden"}"#, Some(Trouble::Unreadable)),
        ] {
            assert_eq!(trouble(&PetPoojaChecks, OWN, 200, body).0, wanted, "{body}");
        }
        assert_eq!(
            trouble(&PetPoojaChecks, OWN, 403, r#"{"message":"Forbidden"}"#).0,
            Some(Trouble::ScopeMissing)
        );
    }
}
