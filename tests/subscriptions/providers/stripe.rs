//! Stripe: forms, and a secret that is told once.

use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request, one};
use super::{ELSEWHERE, is_https};

#[derive(Default)]
pub(crate) struct Stripe {
    all: Vec<Value>,
    secrets: Vec<(String, String)>,
    made: u32,
}

fn error(status: u16, code: &str) -> Answer {
    let message = "Invalid API Key provided: rk_test_…1234";
    (status, json!({"error": {"type": "invalid_request_error", "code": code, "message": message}}))
}

fn events(form: &[(String, String)]) -> Vec<&str> {
    form.iter().filter(|(name, _)| name == "enabled_events[]").map(|(_, event)| event.as_str()).collect()
}

impl Stripe {
    /// As if someone had made an endpoint in the dashboard.
    pub(crate) fn with_endpoint(url: &str) -> Self {
        let one = json!({"id": "we_by_hand", "url": url, "enabled_events": ["*"], "status": "enabled", "metadata": {}});
        Self { all: vec![one], ..Self::default() }
    }
}

impl Api for Stripe {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != "Bearer rk_test" {
            return error(401, "");
        }
        let rest = request.path.strip_prefix("/v1/webhook_endpoints").unwrap();
        let id = rest.trim_start_matches('/');
        let at = self.all.iter().position(|one| one["id"] == id);
        match (request.method.as_str(), id, at) {
            ("GET", "", _) => {
                let start = request
                    .query("starting_after")
                    .map_or(0, |after| 1 + self.all.iter().position(|one| one["id"] == after).unwrap());
                let page: Vec<_> = self.all.iter().skip(start).take(1).cloned().collect();
                (200, json!({"object": "list", "data": page, "has_more": start + 1 < self.all.len()}))
            }
            ("POST", "", _) => {
                let Some(form) = request.form() else { return error(400, "parameter_missing") };
                if !is_https(one(&form, "url")) || events(&form).is_empty() {
                    return error(400, "url_invalid");
                }
                if request.header("idempotency-key").is_empty() {
                    return error(400, "idempotency_key_missing");
                }
                self.made += 1;
                let id = format!("we_{}", self.made);
                let mark = one(&form, "metadata[tillwatch]");
                let endpoint = json!({
                    "id": id, "url": one(&form, "url"), "enabled_events": events(&form), "status": "enabled",
                    "metadata": {"tillwatch": mark},
                });
                self.all.push(endpoint.clone());
                let secret = format!("whsec_{}", self.made);
                self.secrets.push((id, secret.clone()));
                let mut told = endpoint;
                told["secret"] = secret.into();
                (200, told)
            }
            ("POST", _, Some(at)) => {
                let Some(form) = request.form() else { return error(400, "parameter_missing") };
                if let Some(url) = one(&form, "url") {
                    self.all[at]["url"] = url.into();
                }
                if one(&form, "disabled") == Some("false") {
                    self.all[at]["status"] = "enabled".into();
                }
                if !events(&form).is_empty() {
                    self.all[at]["enabled_events"] = events(&form).into();
                }
                (200, self.all[at].clone())
            }
            ("DELETE", _, Some(at)) => {
                self.all.remove(at);
                (200, json!({"id": id, "deleted": true}))
            }
            _ => error(404, "resource_missing"),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let all = self.all.iter().filter(|one| one["status"] == "enabled");
        all.map(|one| ("account".to_owned(), one["url"].as_str().unwrap().to_owned())).collect()
    }

    fn disable(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["status"] = "disabled".into());
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

    fn key(&self) -> Option<String> {
        let id = self.all.last()?["id"].as_str()?;
        self.secrets.iter().find(|(of, _)| of == id).map(|(_, secret)| secret.clone())
    }
}
