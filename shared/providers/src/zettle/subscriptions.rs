//! Zettle's Pusher API, with a token of the organisation's: one subscription for all events, under an id of ours that must
//! be a UUID of version 1. While it is made Zettle sends a test to the URL, which must be answered.
//!
//! Zettle deletes a subscription after three days without a 2xx, and mails `contact_email`.

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::{Call, Method, Response, Words};
use crate::subscriptions::{
    Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Wanted, success, text, texts, union,
};

const EVENTS: &[&str] = &[
    "PurchaseCreated",
    "ProductCreated",
    "ProductUpdated",
    "ProductDeleted",
    "InventoryBalanceChanged",
    "InventoryTrackingStarted",
    "InventoryTrackingStopped",
    "ApplicationConnectionRemoved",
];
const ENDPOINT: &str = "/organizations/self/subscriptions";
const ONE: &str = "/organizations/self/subscriptions/{uuid}";

#[derive(Debug)]
pub(crate) struct ZettleSubscriptions;

fn call(wanted: &Wanted<'_>, method: Method, rest: &str, endpoint: &'static str) -> Result<Call, Refused> {
    let token = wanted.own("access_token")?;
    let url = format!("{}{ENDPOINT}{rest}", wanted.own_base("https://pusher.izettle.com"));
    Ok(Call::new(method, url, endpoint).bearer(token))
}

fn read(response: &Response) -> Result<Value, Refused> {
    let code = |body: &Value| {
        let code = text(body, "/errorType").or_else(|| text(body, "/error"));
        code.map(str::to_owned)
    };
    match success(response, "access_token", code) {
        // Zettle answers 500 where our URL answered it badly.
        Err(Refused::Unavailable(_))
            if response.json().is_some_and(|body| {
                text(&body, "/errorType") == Some("DESTINATION_RESPONDED_WITH_ERROR_CODE")
            }) =>
        {
            Err(Refused::Rejected {
                status: response.status,
                code: Some("DESTINATION_RESPONDED_WITH_ERROR_CODE".into()),
                advice: "our URL did not answer Zettle's test with 200: check that it is reached from outside",
            })
        }
        other => other,
    }
}

fn contact<'a>(wanted: &Wanted<'a>) -> Result<&'a str, Refused> {
    let own = wanted.own.get("contact_email").or_else(|| wanted.shared.get("contact_email"));
    own.filter(|address| address.contains('@')).ok_or(Refused::Setting("contact_email"))
}

impl Subscriptions for ZettleSubscriptions {
    fn scopes(&self, _: &Words, _: &Words) -> &'static [Scope] {
        &[Scope::Own]
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let (events, url) = (wanted.events(EVENTS), wanted.own_url("zettle"));
        Ok(vec![Item { key: "webhook".into(), events, url }])
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        Ok(vec![call(wanted, Method::Get, "", ENDPOINT)?])
    }

    fn listed(
        &self,
        _: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let answer = read(response)?;
        let all = answer.as_array().ok_or(Refused::Unreadable(response.status))?;
        let found = all.iter().filter(|one| text(one, "/transportName") == Some("WEBHOOK")).map(|one| {
            let events = texts(&one["eventNames"]);
            Found {
                key: Some("webhook".into()),
                id: text(one, "/uuid").unwrap_or_default().to_owned(),
                url: text(one, "/destination").unwrap_or_default().to_owned(),
                events: if events.is_empty() { vec!["*".into()] } else { events },
                active: text(one, "/status").is_none_or(|status| status.eq_ignore_ascii_case("active")),
                secret: text(one, "/signingKey").map(SecretString::from),
                ..Found::default()
            }
        });
        Ok((found.collect(), None))
    }

    fn fresh(&self, random: [u8; 16], now: Timestamp) -> Fresh {
        Fresh { id: uuid_v1(random, now) }
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, fresh: &Fresh) -> Result<Call, Refused> {
        let body = json!({
            "uuid": fresh.id, "transportName": "WEBHOOK", "eventNames": item.events,
            "destination": item.url, "contactEmail": contact(wanted)?,
        });
        Ok(call(wanted, Method::Post, "", ENDPOINT)?.json(&body))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, fresh: &Fresh, response: &Response) -> Result<Made, Refused> {
        let answer = read(response)?;
        let id = text(&answer, "/uuid").unwrap_or(&fresh.id).to_owned();
        let secret = text(&answer, "/signingKey").ok_or(Refused::Unreadable(response.status))?;
        Ok(Made { id, secret: Some(SecretString::from(secret)), ..Made::default() })
    }

    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        // What Zettle has stopped is not known to start again by a change: it is made anew.
        if !found.active {
            return Ok(None);
        }
        let events = if found.events.iter().any(|event| event == "*") {
            Vec::new()
        } else {
            union(&found.events, &item.events)
        };
        let body = json!({
            "transportName": "WEBHOOK", "eventNames": events, "destination": item.url,
            "contactEmail": contact(wanted)?,
        });
        let rest = format!("/{}", crate::call::encoded(&found.id));
        Ok(Some(call(wanted, Method::Put, &rest, ONE)?.json(&body)))
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response).map(drop)
    }

    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused> {
        call(wanted, Method::Delete, &format!("/{}", crate::call::encoded(&kept.id)), ONE).map(Some)
    }

    fn has_secret(&self) -> bool {
        true
    }
}

/// A UUID of version 1: the time in units of 100 ns since 1582, and random digits for the clock's sequence and the node,
/// whose multicast bit says that it is no hardware's address.
fn uuid_v1(random: [u8; 16], now: Timestamp) -> String {
    const SINCE_1582: i128 = 0x01B2_1DD2_1381_4000;
    let time = u64::try_from(now.as_nanosecond() / 100 + SINCE_1582).unwrap_or(0);
    let (low, mid, high) = (time & 0xffff_ffff, time >> 32 & 0xffff, time >> 48 & 0x0fff);
    let sequence = u16::from_be_bytes([random[0], random[1]]) & 0x3fff | 0x8000;
    let mut node = [0; 6];
    node.copy_from_slice(&random[2..8]);
    node[0] |= 1;
    format!("{low:08x}-{mid:04x}-1{high:03x}-{sequence:04x}-{}", hex::encode(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_1_that_tells_its_time() {
        let at: Timestamp = "2026-11-23T23:00:00Z".parse().unwrap();
        let id = uuid_v1([0xff; 16], at);
        assert_eq!((id.len(), &id[14..15], &id[19..20]), (36, "1", "b"));
        let part = |from: usize, to: usize| u64::from_str_radix(&id[from..to], 16).unwrap();
        let time = (part(15, 18) << 48) | (part(9, 13) << 32) | part(0, 8);
        assert_eq!((i128::from(time) - 0x01B2_1DD2_1381_4000) * 100, at.as_nanosecond());
        assert_ne!(uuid_v1([0; 16], at), id);
        assert_eq!(uuid_v1([0; 16], at)[24..26].parse(), Ok(1));
    }
}
