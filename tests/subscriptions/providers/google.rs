//! Google: channels that nobody lists, and that end after a week.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request};
use super::is_https;

pub(crate) struct Google {
    channels: Vec<(String, String, Timestamp)>,
    now: Timestamp,
}

impl Default for Google {
    fn default() -> Self {
        Self { channels: Vec::new(), now: Timestamp::UNIX_EPOCH }
    }
}

fn error(status: u16, reason: &str) -> Answer {
    let errors = json!([{"domain": "global", "reason": reason, "message": "as it is"}]);
    (status, json!({"error": {"code": status, "message": "as it is", "errors": errors}}))
}

impl Api for Google {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != "Bearer google-token" {
            return error(401, "authError");
        }
        let Some(body) = request.json() else { return error(400, "parseError") };
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/calendar/v3/calendars/guests%40example.com/events/watch") => {
                let is_token = (16..=256).contains(&text("token").len());
                if text("type") != "web_hook" || !is_https(body["address"].as_str()) || !is_token {
                    return error(400, "push.webhookUrlNotHttps");
                }
                if text("id").is_empty() || self.channels.iter().any(|(id, ..)| id == text("id")) {
                    return error(400, "channelIdNotUnique");
                }
                let ends = self.now + Duration::from_secs(604_800);
                self.channels.push((text("id").to_owned(), text("address").to_owned(), ends));
                let expiration = ends.as_millisecond().to_string();
                (
                    200,
                    json!({"kind": "api#channel", "id": text("id"), "resourceId": "res1", "expiration": expiration}),
                )
            }
            ("POST", "/calendar/v3/channels/stop") => {
                let at = self.channels.iter().position(|(id, ..)| id == text("id"));
                match at.filter(|_| text("resourceId") == "res1") {
                    Some(at) => {
                        self.channels.remove(at);
                        (204, Value::Null)
                    }
                    None => error(404, "notFound"),
                }
            }
            _ => error(404, "notFound"),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let live = self.channels.iter().filter(|(.., ends)| self.now < *ends);
        live.map(|(id, address, _)| (id.clone(), address.clone())).collect()
    }

    fn disable(&mut self) -> bool {
        false
    }

    fn delete(&mut self) -> bool {
        false
    }

    fn redirect(&mut self) -> bool {
        false
    }

    fn tick(&mut self, now: Timestamp) {
        self.now = now;
    }
}
