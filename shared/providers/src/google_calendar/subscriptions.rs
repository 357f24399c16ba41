//! Channels of Google Calendar, with the calendar's owner's token. Google lists none and renews none: what was kept is the
//! list, and before a channel ends another one with another id takes its place, after which the old one is stopped. For
//! that while changes are told twice.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::call::{Call, Method, Response, Words, encoded};
use crate::subscriptions::{
    A_WHILE, Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Wanted, is_code, success, text,
};

const WATCH: &str = "/calendar/v3/calendars/{id}/events/watch";
const STOP: &str = "/calendar/v3/channels/stop";
/// A channel lives for a week, unless Google says otherwise; there are some looks at it in its last day.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug)]
pub(crate) struct ChannelSubscriptions;

fn call(wanted: &Wanted<'_>, path: &str, endpoint: &'static str) -> Result<Call, Refused> {
    let token = wanted.own("access_token")?;
    let url = format!("{}{path}", wanted.own_base("https://www.googleapis.com"));
    Ok(Call::new(Method::Post, url, endpoint).bearer(token))
}

fn read(response: &Response) -> Result<Value, Refused> {
    let reason = |body: &Value| text(body, "/error/errors/0/reason").map(str::to_owned);
    let body = response.json().unwrap_or_default();
    match reason(&body).as_deref() {
        Some("rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded") => {
            Err(Refused::Limited(response.retry_after().unwrap_or(A_WHILE)))
        }
        Some("notFound") => {
            Err(Refused::NotThere("Google does not know the calendar, or the channel: check `calendar_id`"))
        }
        _ => success(response, "access_token", |body| reason(body).filter(|reason| is_code(reason))),
    }
}

impl Subscriptions for ChannelSubscriptions {
    fn scopes(&self, _: &Words, _: &Words) -> &'static [Scope] {
        &[Scope::Own]
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let (events, url) = (vec!["changes".to_owned()], wanted.own_url("google_calendar"));
        Ok(vec![Item { key: "channel".into(), events, url }])
    }

    fn lists(&self, _: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        Ok(Vec::new())
    }

    fn listed(
        &self,
        _: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        Err(Refused::Unreadable(response.status))
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, fresh: &Fresh) -> Result<Call, Refused> {
        let calendar = encoded(wanted.own("calendar_id")?);
        let tokens = wanted.webhook.live_url_keys(wanted.now);
        let tokens = tokens.map_err(|_| Refused::Setting("url_key"))?;
        let path = format!("/calendar/v3/calendars/{calendar}/events/watch");
        let body = json!({
            "id": fresh.id, "type": "web_hook", "address": item.url, "token": tokens.newest(),
        });
        Ok(call(wanted, &path, WATCH)?.json(&body))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, fresh: &Fresh, response: &Response) -> Result<Made, Refused> {
        let answer = read(response)?;
        // Milliseconds, as a text.
        let ends = &answer["expiration"];
        let ends = ends.as_i64().or_else(|| ends.as_str()?.parse().ok());
        let expires_at = ends.and_then(|ends| Timestamp::from_millisecond(ends).ok());
        let (Some(resource), Some(expires_at)) = (text(&answer, "/resourceId"), expires_at) else {
            return Err(Refused::Unreadable(response.status));
        };
        Ok(Made {
            id: fresh.id.clone(),
            resource: Some(resource.to_owned()),
            expires_at: Some(expires_at),
            ..Made::default()
        })
    }

    fn update(&self, _: &Wanted<'_>, _: &Item, _: &Found) -> Result<Option<Call>, Refused> {
        Ok(None)
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response).map(drop)
    }

    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused> {
        let body = json!({"id": kept.id, "resourceId": kept.resource});
        Ok(Some(call(wanted, "/calendar/v3/channels/stop", STOP)?.json(&body)))
    }

    fn renewed_before(&self) -> Option<SignedDuration> {
        Some(RENEWED_BEFORE)
    }

    fn needs_url_key(&self, _: &Wanted<'_>) -> bool {
        true
    }
}
