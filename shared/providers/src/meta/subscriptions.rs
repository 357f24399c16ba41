//! Meta wants two things, with two tokens. The app subscribes to objects (`whatsapp_business_account`, `ad_account`) with
//! its own id and secret, once for all connections; Meta asks our URL whether it is ours while it is done. And each
//! WhatsApp Business account and ad account lets the app in, with its own token: without that nothing is delivered.
//!
//! Where a connection has an app of its own, both are the connection's.

use serde_json::Value;

use crate::call::{Call, Method, Response, Words, encoded};
use crate::subscriptions::{
    A_WHILE, Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Trial, Wanted, list, success,
    text, union,
};

pub(super) const BASE: &str = "https://graph.facebook.com";
pub(super) const VERSION: &str = "v25.0";
/// Objects and their fields.
const EVENTS: &[&str] = &[
    "whatsapp_business_account.messages",
    "ad_account.with_issues_ad_objects",
    "ad_account.in_process_ad_objects",
];
const APP: &str = "/{version}/{app}/subscriptions";
const ACCOUNT: &str = "/{version}/{account}/subscribed_apps";
const CHALLENGE: &str = "tillwatch-asks-whether-this-is-tillwatch";

#[derive(Debug)]
pub(crate) struct MetaSubscriptions;

/// What must be subscribed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The app, to this object.
    App(&'static str),
    /// The WhatsApp Business account, to the app.
    Whatsapp,
    /// The ad account, to the app.
    Ads,
}

const PARTS: [Part; 4] =
    [Part::App("whatsapp_business_account"), Part::App("ad_account"), Part::Whatsapp, Part::Ads];

impl Part {
    fn key(self) -> String {
        match self {
            Self::App(object) => format!("app:{object}"),
            Self::Whatsapp => "whatsapp".to_owned(),
            Self::Ads => "ads".to_owned(),
        }
    }

    fn of(item: &Item) -> Result<Self, Refused> {
        let part = PARTS.into_iter().find(|part| part.key() == item.key);
        part.ok_or(Refused::NotThere("Meta has no such subscription"))
    }

    /// The setting that holds the credentials for it.
    fn credentials(self) -> &'static str {
        if matches!(self, Self::App(_)) { "app_secret" } else { "access_token" }
    }
}

fn has_own_app(own: &Words) -> bool {
    own.get("app_id").is_some() && own.get("app_secret").is_some()
}

fn parts(wanted: &Wanted<'_>) -> Result<Vec<Part>, Refused> {
    let any = |setting| wanted.peers.iter().any(|peer| peer.get(setting).is_some());
    let (whatsapp, ads) = (any("business_account_id"), any("ad_account_id"));
    if !whatsapp && !ads && wanted.scope == Scope::Own {
        return Err(Refused::Setting("business_account_id"));
    }
    let (with_app, with_accounts) = match wanted.scope {
        Scope::Shared => (true, false),
        Scope::Own => (has_own_app(wanted.own), true),
    };
    let is_wanted = |part: &Part| match part {
        Part::App(object) => with_app && if *object == "ad_account" { ads } else { whatsapp },
        Part::Whatsapp => with_accounts && whatsapp,
        Part::Ads => with_accounts && ads,
    };
    Ok(PARTS.into_iter().filter(is_wanted).collect())
}

/// Whether it can stand in a path as the API's version.
pub(super) fn is_version(version: &str) -> bool {
    version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

/// Whose app it is: the words that hold it.
fn app<'a>(wanted: &Wanted<'a>) -> Result<(&'a str, Option<&'a str>), Refused> {
    if has_own_app(wanted.own) {
        return Ok((wanted.own("app_id")?, wanted.own.get("app_secret")));
    }
    Ok((wanted.shared("app_id")?, wanted.shared.get("app_secret")))
}

fn call(wanted: &Wanted<'_>, part: Part, method: Method) -> Result<Call, Refused> {
    let version = wanted.own.get("api_version").or_else(|| wanted.shared.get("api_version"));
    let version = version.unwrap_or(VERSION);
    if !is_version(version) {
        return Err(Refused::BadSetting("api_version", "is no version such as v25.0"));
    }
    let account = |id: String| -> Result<Call, Refused> {
        let url = format!("{}/{version}/{id}/subscribed_apps", wanted.own_base(BASE));
        Ok(Call::new(method, url, ACCOUNT).bearer(wanted.own("access_token")?))
    };
    match part {
        Part::App(_) => {
            let (id, secret) = app(wanted)?;
            let secret = secret.ok_or(Refused::Api("app_secret"))?;
            let own = has_own_app(wanted.own);
            let base = if own { wanted.own_base(BASE) } else { wanted.shared_base(BASE) };
            let url = format!("{base}/{version}/{}/subscriptions", encoded(id));
            Ok(Call::new(method, url, APP).bearer(&format!("{id}|{secret}")))
        }
        Part::Whatsapp => account(encoded(wanted.own("business_account_id")?)),
        Part::Ads => account(format!("act_{}", encoded(wanted.own("ad_account_id")?))),
    }
}

/// Meta answers most of what goes wrong with 400 and a number.
fn read(response: &Response, setting: &'static str) -> Result<Value, Refused> {
    let body = response.json().unwrap_or_default();
    let status = response.status;
    match body.pointer("/error/code").and_then(Value::as_u64) {
        Some(4 | 17 | 32 | 613 | 80_000..=80_014) => {
            Err(Refused::Limited(response.retry_after().unwrap_or(A_WHILE)))
        }
        Some(10 | 102 | 190 | 200..=299) => Err(Refused::Credentials { status, setting }),
        Some(1 | 2) => Err(Refused::Unavailable(status)),
        // 2200: our URL did not answer Meta's question.
        Some(2200) => Err(Refused::Rejected {
            status,
            code: Some("2200".to_owned()),
            advice: "our URL did not answer Meta's question: check that it is reached from outside, and `verify_tokens`",
        }),
        code => success(response, setting, |_| code.map(|code| code.to_string())),
    }
}

fn fields(wanted: &Wanted<'_>, object: &str) -> Vec<String> {
    let of = |event: String| event.strip_prefix(object)?.strip_prefix('.').map(str::to_owned);
    wanted.events(EVENTS).into_iter().filter_map(of).collect()
}

fn word<'a>(wanted: &Wanted<'a>) -> Result<&'a str, Refused> {
    let words = wanted.webhook.live_verify_tokens(wanted.now);
    let missing = "is missing: put a random word into the provider's secret as `verify_tokens`";
    words.map(|words| words.newest()).map_err(|_| Refused::BadSetting("verify_tokens", missing))
}

impl Subscriptions for MetaSubscriptions {
    fn scopes(&self, own: &Words, _: &Words) -> &'static [Scope] {
        if has_own_app(own) { &[Scope::Own] } else { &[Scope::Shared, Scope::Own] }
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let url = wanted.shared_url("meta");
        let item = |part: Part| {
            let events = if let Part::App(object) = part { fields(wanted, object) } else { Vec::new() };
            Item { key: part.key(), events, url: url.clone() }
        };
        Ok(parts(wanted)?.into_iter().map(item).collect())
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        parts(wanted)?.into_iter().map(|part| call(wanted, part, Method::Get)).collect()
    }

    fn listed(
        &self,
        wanted: &Wanted<'_>,
        nth: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let part = parts(wanted)?.get(nth).copied().ok_or(Refused::Unreadable(response.status))?;
        let answer = read(response, part.credentials())?;
        let all = list(&answer, "/data", response.status)?;
        let found = if let Part::App(object) = part {
            let one = all.iter().find(|one| text(one, "/object") == Some(object));
            one.map(|one| {
                let fields = one["fields"].as_array().into_iter().flatten();
                let names = fields.filter_map(|field| field.as_str().or_else(|| text(field, "/name")));
                Found {
                    id: object.to_owned(),
                    url: text(one, "/callback_url").unwrap_or_default().to_owned(),
                    events: names.map(str::to_owned).collect(),
                    active: one["active"] == true,
                    ..Found::default()
                }
            })
        } else {
            let (app, _) = app(wanted)?;
            let is_ours = |one: &&Value| {
                [text(one, "/id"), text(one, "/whatsapp_business_api_data/id")].contains(&Some(app))
            };
            all.iter().find(is_ours).map(|_| Found {
                id: app.to_owned(),
                url: wanted.shared_url("meta"),
                active: true,
                ..Found::default()
            })
        };
        let found = found.map(|found| Found { key: Some(part.key()), ..found });
        Ok((found.into_iter().collect(), None))
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, _: &Fresh) -> Result<Call, Refused> {
        let part = Part::of(item)?;
        let call = call(wanted, part, Method::Post)?;
        Ok(match part {
            Part::App(object) => call.form(&[
                ("object", object),
                ("callback_url", &item.url),
                ("verify_token", word(wanted)?),
                ("fields", &item.events.join(",")),
                ("include_values", "true"),
            ]),
            Part::Whatsapp => call,
            Part::Ads => call.form(&[("app_id", app(wanted)?.0)]),
        })
    }

    fn created(
        &self,
        wanted: &Wanted<'_>,
        item: &Item,
        _: &Fresh,
        response: &Response,
    ) -> Result<Made, Refused> {
        self.updated(item, response)?;
        let id = match Part::of(item)? {
            Part::App(object) => object,
            Part::Whatsapp | Part::Ads => app(wanted)?.0,
        };
        Ok(Made { id: id.to_owned(), ..Made::default() })
    }

    /// The same call as a creation: an app has one subscription to an object.
    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        let item = Item { events: union(&found.events, &item.events), ..item.clone() };
        self.create(wanted, &item, &Fresh { id: String::new() }).map(Some)
    }

    fn updated(&self, item: &Item, response: &Response) -> Result<(), Refused> {
        let answer = read(response, Part::of(item)?.credentials())?;
        if answer["success"] == true { Ok(()) } else { Err(Refused::Unreadable(response.status)) }
    }

    fn delete(&self, _: &Wanted<'_>, _: &Kept) -> Result<Option<Call>, Refused> {
        Ok(None)
    }

    /// What Meta sends to see whether the URL is ours.
    fn trial(&self, wanted: &Wanted<'_>, item: &Item, _: &Found) -> Result<Trial, Refused> {
        if !matches!(Part::of(item)?, Part::App(_)) {
            return Ok(Trial::Reach);
        }
        let query = format!("hub.mode=subscribe&hub.verify_token={}", encoded(word(wanted)?));
        let url = format!("{}?{query}&hub.challenge={CHALLENGE}", item.url);
        Ok(Trial::Handshake(Call::new(Method::Get, url, "/webhooks/meta"), CHALLENGE.to_owned()))
    }
}
