//! Loyverse: one webhook for each type, and each type and URL once.

use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request};
use super::{ELSEWHERE, is_https};

#[derive(Default)]
pub(crate) struct Loyverse {
    all: Vec<Value>,
    made: u32,
}

fn error(status: u16, code: &str) -> Answer {
    (status, json!({"errors": [{"code": code, "details": "as it is"}]}))
}

impl Api for Loyverse {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != "Bearer loyverse-token" {
            return error(401, "UNAUTHORIZED");
        }
        let id = request.path.strip_prefix("/v1.0/webhooks/").unwrap();
        match (request.method.as_str(), id) {
            ("GET", "") => (200, json!({"webhooks": self.all})),
            ("POST", "") => {
                let Some(body) = request.json() else { return error(415, "UNSUPPORTED_MEDIA_TYPE") };
                let is_type =
                    ["receipts.update", "items.update", "inventory_levels.update", "customers.update"]
                        .contains(&body["type"].as_str().unwrap_or_default());
                if !is_type || !is_https(body["url"].as_str()) || body.get("events").is_some() {
                    return error(400, "INVALID_VALUE");
                }
                let same = |one: &&Value| {
                    one["type"] == body["type"] && one["url"] == body["url"] && one["id"] != body["id"]
                };
                if self.all.iter().any(|one| same(&one)) {
                    return error(400, "NOT_UNIQUE");
                }
                if let Some(id) = body["id"].as_str() {
                    let Some(one) = self.all.iter_mut().find(|one| one["id"] == id) else {
                        return error(404, "NOT_FOUND");
                    };
                    *one = body.clone();
                    return (200, body);
                }
                self.made += 1;
                let mut one = body;
                one["id"] = format!("00000000-0000-4000-8000-{:012}", self.made).into();
                self.all.push(one.clone());
                (200, one)
            }
            _ => error(404, "NOT_FOUND"),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = self.all.iter().filter(|one| one["status"] == "ENABLED");
        let mut all: Vec<_> = all.map(|one| (text(&one["type"]), text(&one["url"]))).collect();
        all.sort();
        all
    }

    fn disable(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["status"] = "DISABLED".into());
        true
    }

    fn delete(&mut self) -> bool {
        self.all.clear();
        true
    }

    fn redirect(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["url"] = ELSEWHERE.into());
        true
    }
}
