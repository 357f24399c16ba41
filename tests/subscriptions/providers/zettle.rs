//! Zettle: under ids of the caller's, UUIDs of version 1.

use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request};
use super::{ELSEWHERE, is_https};

#[derive(Default)]
pub(crate) struct Zettle {
    all: Vec<Value>,
    made: u32,
}

fn error(status: u16, kind: &str) -> Answer {
    (status, json!({"errorType": kind, "developerMessage": "as it is", "violations": []}))
}

fn is_uuid_v1(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12]
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        && text.as_bytes()[14] == b'1'
        && matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b')
}

fn refused(body: &Value) -> Option<Answer> {
    if !is_https(body["destination"].as_str()) {
        return Some(error(422, "INVALID_DESTINATION"));
    }
    let is_mail = body["contactEmail"].as_str().is_some_and(|address| address.contains('@'));
    (!is_mail).then(|| error(422, "INVALID_EMAIL"))
}

impl Api for Zettle {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != "Bearer zettle-token" {
            return error(401, "UNAUTHORIZED");
        }
        let rest = request.path.strip_prefix("/organizations/self/subscriptions").unwrap();
        let id = rest.trim_start_matches('/');
        let at = self.all.iter().position(|one| one["uuid"] == id);
        match (request.method.as_str(), id, at) {
            ("GET", "", _) => (200, self.all.clone().into()),
            ("POST", "", _) => {
                let Some(body) = request.json() else { return error(415, "UNSUPPORTED_MEDIA_TYPE") };
                let uuid = body["uuid"].as_str().unwrap_or_default();
                let taken = self.all.iter().any(|one| one["uuid"] == uuid);
                if body["transportName"] != "WEBHOOK" || !is_uuid_v1(uuid) || taken {
                    return error(400, "SUBSCRIPTION_INVALID");
                }
                if let Some(refused) = refused(&body) {
                    return refused;
                }
                self.made += 1;
                let mut one = body.clone();
                one["status"] = "ACTIVE".into();
                one["signingKey"] = format!("zettle-signing-key-{}", self.made).into();
                self.all.push(one.clone());
                (200, one)
            }
            ("PUT", _, Some(at)) => {
                let Some(body) = request.json() else { return error(415, "UNSUPPORTED_MEDIA_TYPE") };
                if let Some(refused) = refused(&body) {
                    return refused;
                }
                for name in ["eventNames", "destination", "contactEmail"] {
                    self.all[at][name] = body[name].clone();
                }
                (200, Value::Null)
            }
            ("DELETE", _, Some(at)) => {
                self.all.remove(at);
                (204, Value::Null)
            }
            _ => error(404, "SUBSCRIPTION_NOT_FOUND"),
        }
    }

    fn sending(&self) -> Vec<(String, String)> {
        let all = self.all.iter().filter(|one| one["status"] == "ACTIVE");
        all.map(|one| ("webhook".to_owned(), one["destination"].as_str().unwrap().to_owned())).collect()
    }

    fn disable(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["status"] = "INACTIVE".into());
        true
    }

    fn delete(&mut self) -> bool {
        self.all.clear();
        true
    }

    fn redirect(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["destination"] = ELSEWHERE.into());
        true
    }

    fn key(&self) -> Option<String> {
        self.all.last()?["signingKey"].as_str().map(str::to_owned)
    }
}
