//! Square: with the application's token alone, by JSON.

use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request};
use super::{ELSEWHERE, is_https};

#[derive(Default)]
pub(crate) struct Square {
    all: Vec<Value>,
    made: u32,
}

fn error(status: u16, code: &str) -> Answer {
    (status, json!({"errors": [{"category": "INVALID_REQUEST_ERROR", "code": code, "detail": "as it is"}]}))
}

fn shown(one: &Value, with_key: bool) -> Value {
    let mut one = one.clone();
    if !with_key {
        one.as_object_mut().unwrap().remove("signature_key");
    }
    one
}

impl Square {
    fn refused(&self, subscription: &Value, id: Option<&str>) -> Option<Answer> {
        let url = subscription["notification_url"].as_str();
        let events = subscription["event_types"].as_array();
        if subscription["name"].as_str().is_none_or(str::is_empty) {
            return Some(error(400, "MISSING_REQUIRED_PARAMETER"));
        }
        if !is_https(url) || events.is_none_or(Vec::is_empty) {
            return Some(error(400, "INVALID_VALUE"));
        }
        let taken = |one: &&Value| one["notification_url"].as_str() == url && one["id"].as_str() != id;
        self.all.iter().any(|one| taken(&one)).then(|| error(400, "CONFLICT"))
    }
}

impl Api for Square {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != "Bearer square-app-token" {
            return error(401, "UNAUTHORIZED");
        }
        if request.header("square-version").is_empty() {
            return error(400, "MISSING_VERSION");
        }
        let rest = request.path.strip_prefix("/v2/webhooks/subscriptions").unwrap().trim_start_matches('/');
        let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
        let at = self.all.iter().position(|one| one["id"] == id);
        match (request.method.as_str(), id, action, at) {
            ("GET", "", "", _) => {
                let disabled_too = request.query("include_disabled") == Some("true");
                let all = self.all.iter().filter(|one| disabled_too || one["enabled"] == true);
                let all: Vec<_> = all.map(|one| shown(one, false)).collect();
                // Left out where there are none.
                (200, if all.is_empty() { json!({}) } else { json!({"subscriptions": all}) })
            }
            ("POST", "", "", _) => {
                let Some(body) = request.json() else { return error(415, "UNSUPPORTED_MEDIA_TYPE") };
                if body["idempotency_key"].as_str().is_none_or(|key| key.is_empty() || key.len() > 45) {
                    return error(400, "MISSING_REQUIRED_PARAMETER");
                }
                if let Some(refused) = self.refused(&body["subscription"], None) {
                    return refused;
                }
                self.made += 1;
                let mut one = body["subscription"].clone();
                one["id"] = format!("wbhk_{}", self.made).into();
                one["enabled"] = true.into();
                one["signature_key"] = format!("square-signature-key-{}", self.made).into();
                self.all.push(one.clone());
                (200, json!({"subscription": one}))
            }
            ("GET", _, "", Some(at)) => (200, json!({"subscription": shown(&self.all[at], true)})),
            ("PUT", _, "", Some(at)) => {
                let Some(body) = request.json() else { return error(415, "UNSUPPORTED_MEDIA_TYPE") };
                if let Some(refused) = self.refused(&body["subscription"], Some(id)) {
                    return refused;
                }
                for name in ["name", "enabled", "event_types", "notification_url"] {
                    self.all[at][name] = body["subscription"][name].clone();
                }
                (200, json!({"subscription": shown(&self.all[at], false)}))
            }
            ("DELETE", _, "", Some(at)) => {
                self.all.remove(at);
                (200, json!({}))
            }
            ("POST", _, "test", Some(at)) => {
                let event = request.json().unwrap_or_default()["event_type"].clone();
                if !self.all[at]["event_types"].as_array().unwrap().contains(&event) {
                    return error(400, "INVALID_VALUE");
                }
                (200, json!({"subscription_test_result": {"id": "t", "status_code": 200}}))
            }
            _ => error(404, "NOT_FOUND"),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let all = self.all.iter().filter(|one| one["enabled"] == true);
        all.map(|one| ("webhook".to_owned(), one["notification_url"].as_str().unwrap().to_owned())).collect()
    }

    fn disable(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["enabled"] = false.into());
        true
    }

    fn delete(&mut self) -> bool {
        self.all.clear();
        true
    }

    fn redirect(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["notification_url"] = ELSEWHERE.into());
        true
    }

    fn key(&self) -> Option<String> {
        self.all.last()?["signature_key"].as_str().map(str::to_owned)
    }
}
