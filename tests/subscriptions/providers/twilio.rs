//! Twilio: a phone number that is there already, with an API key and forms.

use serde_json::json;

use super::super::fake::{Answer, Api, Request, one};
use super::{ELSEWHERE, is_https};

pub(crate) struct Twilio {
    url: String,
    status: String,
}

impl Default for Twilio {
    fn default() -> Self {
        // What Twilio sets of a new number.
        Self { url: "https://demo.twilio.com/welcome/sms/reply".into(), status: String::new() }
    }
}

fn error(status: u16, code: u32) -> Answer {
    (status, json!({"code": code, "message": "as it is", "status": status}))
}

impl Twilio {
    fn number(&self) -> serde_json::Value {
        json!({
            "sid": "PN1", "phone_number": "+15550001111", "sms_url": self.url, "sms_method": "POST",
            "status_callback": self.status,
        })
    }
}

impl Api for Twilio {
    fn answer(&mut self, request: &Request) -> Answer {
        // SK1:twilio-secret
        if request.header("authorization") != "Basic U0sxOnR3aWxpby1zZWNyZXQ=" {
            return error(401, 20_003);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers.json") => {
                let is_asked = request.query("PhoneNumber") == Some("+15550001111");
                let numbers = if is_asked { vec![self.number()] } else { vec![] };
                (200, json!({"incoming_phone_numbers": numbers, "page": 0}))
            }
            ("POST", "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers/PN1.json") => {
                let Some(form) = request.form() else { return error(400, 21_000) };
                let (url, status) = (one(&form, "SmsUrl"), one(&form, "StatusCallback"));
                if !is_https(url) || !is_https(status) || one(&form, "SmsMethod") != Some("POST") {
                    return error(400, 21_402);
                }
                url.unwrap().clone_into(&mut self.url);
                status.unwrap().clone_into(&mut self.status);
                (200, self.number())
            }
            _ => error(404, 20_404),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let is_set = !self.url.is_empty() && self.url == self.status;
        is_set.then(|| ("messages".to_owned(), self.url.clone())).into_iter().collect()
    }

    fn disable(&mut self) -> bool {
        false
    }

    fn delete(&mut self) -> bool {
        (self.url, self.status) = (String::new(), String::new());
        true
    }

    fn redirect(&mut self) -> bool {
        ELSEWHERE.clone_into(&mut self.url);
        true
    }
}
