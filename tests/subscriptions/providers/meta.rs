//! Meta: the app's subscriptions with the app's token, the accounts' with their own; neither token does for the other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request, one};
use super::{ELSEWHERE, is_https};

#[derive(Default)]
pub(crate) struct Meta {
    objects: BTreeMap<String, Value>,
    accounts: BTreeSet<String>,
}

fn error(code: u32) -> Answer {
    let error = json!({"message": "as it is", "type": "OAuthException", "code": code, "fbtrace_id": "x"});
    (400, json!({"error": error}))
}

impl Api for Meta {
    fn answer(&mut self, request: &Request) -> Answer {
        let is_app = request.path == "/v25.0/123/subscriptions";
        let token = if is_app { "Bearer 123|app-secret" } else { "Bearer meta-token" };
        if request.header("authorization") != token {
            return error(190);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v25.0/123/subscriptions") => {
                (200, json!({"data": self.objects.values().collect::<Vec<_>>()}))
            }
            ("POST", "/v25.0/123/subscriptions") => {
                let Some(form) = request.form() else { return error(100) };
                let (object, url) = (one(&form, "object").unwrap_or_default(), one(&form, "callback_url"));
                let has_word = one(&form, "verify_token").is_some_and(|word| word.len() > 8);
                let fields: Vec<_> = one(&form, "fields").unwrap_or_default().split(',').collect();
                if !["whatsapp_business_account", "ad_account"].contains(&object) || fields == [""] {
                    return error(100);
                }
                if !is_https(url) || !has_word {
                    return error(2_200);
                }
                let fields: Vec<_> =
                    fields.iter().map(|name| json!({"name": name, "version": "v25.0"})).collect();
                let one = json!({"object": object, "callback_url": url, "active": true, "fields": fields});
                self.objects.insert(object.to_owned(), one);
                (200, json!({"success": true}))
            }
            ("GET", path @ ("/v25.0/waba1/subscribed_apps" | "/v25.0/act_77/subscribed_apps")) => {
                let app = if path.contains("act_") {
                    json!({"id": "123", "name": "Ours"})
                } else {
                    json!({"whatsapp_business_api_data": {"id": "123", "name": "Ours", "link": "x"}})
                };
                let apps = if self.accounts.contains(path) { vec![app] } else { vec![] };
                (200, json!({"data": apps}))
            }
            ("POST", path @ ("/v25.0/waba1/subscribed_apps" | "/v25.0/act_77/subscribed_apps")) => {
                if path.contains("act_")
                    && request.form().is_none_or(|form| one(&form, "app_id") != Some("123"))
                {
                    return error(100);
                }
                self.accounts.insert(path.to_owned());
                (200, json!({"success": true}))
            }
            _ => error(803),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let objects = self.objects.iter().filter(|(_, one)| one["active"] == true);
        let objects =
            objects.map(|(name, one)| (name.clone(), one["callback_url"].as_str().unwrap().to_owned()));
        objects.chain(self.accounts.iter().map(|path| (path.clone(), String::new()))).collect()
    }

    fn disable(&mut self) -> bool {
        self.objects.values_mut().for_each(|one| one["active"] = false.into());
        true
    }

    fn delete(&mut self) -> bool {
        self.objects.clear();
        self.accounts.clear();
        true
    }

    fn redirect(&mut self) -> bool {
        self.objects.values_mut().for_each(|one| one["callback_url"] = ELSEWHERE.into());
        true
    }
}
