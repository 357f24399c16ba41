//! Where Twilio sends messages and what becomes of them: the URLs of the connection's messaging service, else of the phone
//! number that it sends from. Both are there already and are set, never made. Twilio disables nothing.
//!
//! WhatsApp senders without a messaging service are set in Twilio's console.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::call::{Call, Method, Response, Words, encoded};
use crate::subscriptions::{
    Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Wanted, list, success, text,
};

/// Incoming messages, and the statuses of those sent.
const EVENTS: [&str; 2] = ["incoming", "status"];
const SERVICE: &str = "/v1/Services/{sid}";
const NUMBERS: &str = "/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers.json";
const NUMBER: &str = "/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers/{sid}.json";

#[derive(Debug)]
pub(crate) struct TwilioSubscriptions;

/// What the URLs are set of.
enum Of<'a> {
    Service(&'a str),
    Number(&'a str),
}

fn of<'a>(wanted: &Wanted<'a>) -> Result<Of<'a>, Refused> {
    if let Some(service) = wanted.own.get("messaging_service_sid") {
        return Ok(Of::Service(service));
    }
    let sender = wanted.own.get("sender").ok_or(Refused::Setting("messaging_service_sid"))?;
    if sender.starts_with('+') {
        return Ok(Of::Number(sender));
    }
    Err(Refused::BadSetting(
        "sender",
        "is no phone number: name a `messaging_service_sid`, or set the sender's URL in Twilio's console",
    ))
}

fn service_url(wanted: &Wanted<'_>, sid: &str) -> String {
    format!("{}/v1/Services/{}", wanted.own_base("https://messaging.twilio.com"), encoded(sid))
}

fn numbers_url(wanted: &Wanted<'_>) -> Result<String, Refused> {
    let account = encoded(wanted.own("account_sid")?);
    let base = wanted.own_base("https://api.twilio.com");
    Ok(format!("{base}/2010-04-01/Accounts/{account}/IncomingPhoneNumbers"))
}

fn call(wanted: &Wanted<'_>, method: Method, url: String, endpoint: &'static str) -> Result<Call, Refused> {
    let user = wanted.own.get("api_key").map_or_else(|| wanted.own("account_sid"), Ok)?;
    let credentials = BASE64_STANDARD.encode(format!("{user}:{}", wanted.own("api_secret")?));
    Ok(Call::new(method, url, endpoint).header("authorization", format!("Basic {credentials}")))
}

fn read(response: &Response) -> Result<Value, Refused> {
    success(response, "api_secret", |body| body["code"].as_u64().map(|code| code.to_string()))
}

/// The service or number, as if it were ours already: it has one URL, and that it is to be ours was said. What does not go
/// there brings nothing.
fn found(one: &Value, incoming: &str, ours: &str) -> Found {
    let is_ours = |pointer| text(one, pointer) == Some(ours);
    let brings = [(EVENTS[0], is_ours(incoming)), (EVENTS[1], is_ours("/status_callback"))];
    let events = brings.into_iter().filter(|(_, is_ours)| *is_ours).map(|(event, _)| event.to_owned());
    Found {
        key: Some("messages".into()),
        id: text(one, "/sid").unwrap_or_default().to_owned(),
        url: ours.to_owned(),
        events: events.collect(),
        active: text(one, incoming).is_some_and(|url| !url.is_empty()),
        ..Found::default()
    }
}

fn url(wanted: &Wanted<'_>) -> String {
    let url = wanted.webhook.notification_url.clone().filter(|url| !url.is_empty());
    url.unwrap_or_else(|| wanted.shared_url("twilio"))
}

impl Subscriptions for TwilioSubscriptions {
    fn scopes(&self, _: &Words, _: &Words) -> &'static [Scope] {
        &[Scope::Own]
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let url = url(wanted);
        let events = EVENTS.map(str::to_owned).to_vec();
        Ok(vec![Item { key: "messages".into(), events, url }])
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        Ok(vec![match of(wanted)? {
            Of::Service(sid) => call(wanted, Method::Get, service_url(wanted, sid), SERVICE)?,
            Of::Number(number) => {
                let url = format!("{}.json?PhoneNumber={}", numbers_url(wanted)?, encoded(number));
                call(wanted, Method::Get, url, NUMBERS)?
            }
        }])
    }

    fn listed(
        &self,
        wanted: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let answer = read(response)?;
        let ours = url(wanted);
        let one = match of(wanted)? {
            Of::Service(_) => found(&answer, "/inbound_request_url", &ours),
            Of::Number(number) => {
                let all = list(&answer, "/incoming_phone_numbers", response.status)?;
                let is_it = |one: &&Value| text(one, "/phone_number") == Some(number);
                let missing = Refused::NotThere(
                    "the account has no such phone number: check `sender` and `account_sid`",
                );
                found(all.iter().find(is_it).ok_or(missing)?, "/sms_url", &ours)
            }
        };
        if one.id.is_empty() {
            return Err(Refused::Unreadable(response.status));
        }
        Ok((vec![one], None))
    }

    fn create(&self, _: &Wanted<'_>, _: &Item, _: &Fresh) -> Result<Call, Refused> {
        Err(Refused::NotThere("the provider knows nothing of it: check `messaging_service_sid` or `sender`"))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, _: &Fresh, response: &Response) -> Result<Made, Refused> {
        Err(Refused::Unreadable(response.status))
    }

    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        let url = item.url.as_str();
        Ok(Some(match of(wanted)? {
            Of::Service(sid) => {
                let call = call(wanted, Method::Post, service_url(wanted, sid), SERVICE)?;
                call.form(&[
                    ("InboundRequestUrl", url),
                    ("InboundMethod", "POST"),
                    ("StatusCallback", url),
                    ("UseInboundWebhookOnNumber", "false"),
                ])
            }
            Of::Number(_) => {
                let one = format!("{}/{}.json", numbers_url(wanted)?, encoded(&found.id));
                let call = call(wanted, Method::Post, one, NUMBER)?;
                call.form(&[("SmsUrl", url), ("SmsMethod", "POST"), ("StatusCallback", url)])
            }
        }))
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response).map(drop)
    }

    fn delete(&self, _: &Wanted<'_>, _: &Kept) -> Result<Option<Call>, Refused> {
        Ok(None)
    }

    fn signs_url(&self) -> bool {
        true
    }
}
