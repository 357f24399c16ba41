//! A change of an ad account: that something changed, of which object, and at most a code that says why.

use serde::Deserialize;
use tillwatch_domain::{Change, Fields, Kind, RecordKey, Revision, Status};

use super::parse::{Said, Told};
use crate::json::{self, Exact, nanoseconds};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Value {
    id: Option<Exact>,
    error_code: Option<Exact>,
}

/// One event. Its values are not all known, so one that can't be read is the account's own change.
pub(super) fn told(said: &Said<'_>) -> Told {
    let value: Value = json::read(said.value.as_bytes(), "ad account").unwrap_or_default();
    let at = said.time.unwrap_or(said.received);
    let id = value.id.filter(is_number).map(String::from);
    Told {
        kind: format!("ad_account.{}", said.field),
        key: None,
        occurred_at: said.time,
        change: Some(Change {
            record: RecordKey {
                provider: "meta".into(),
                scope: String::new(),
                kind: Kind::Ad,
                id: id.unwrap_or_else(|| said.account.to_owned()),
            },
            revision: Revision::at(nanoseconds(at), Status::Changed),
            occurred_at: at,
            status: Status::Changed,
            fields: Fields {
                reason: value.error_code.filter(is_number).map(String::from),
                ..Fields::default()
            },
        }),
    }
}

fn is_number(id: &Exact) -> bool {
    (1..=32).contains(&id.as_str().len()) && id.as_str().bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::parse::parse;
    use super::*;
    use crate::{Headers, Received};

    const ISSUES: &str = r#"{"object":"ad_account","entry":[{"id":"1010","time":1782862117,"changes":[{"field":"with_issues_ad_objects","value":{"id":"2020","level":"AD","error_code":"567","error_summary":"error summary","error_message":"error message"}}]}]}"#;

    fn event(body: &str) -> tillwatch_domain::Event {
        let received =
            Received { headers: &Headers::new(), body: body.as_bytes(), at: Timestamp::UNIX_EPOCH };
        parse(received).unwrap().remove(0)
    }

    #[test]
    fn an_ad_with_issues_is_changed_and_says_the_code() {
        let event = event(ISSUES);
        let change = &event.changes[0];
        assert_eq!(
            (event.kind.as_str(), change.status),
            ("ad_account.with_issues_ad_objects", Status::Changed)
        );
        assert_eq!(
            (change.record.to_string().as_str(), event.dedupe.account.as_str()),
            ("ads/meta/2020", "1010")
        );
        assert_eq!(change.fields.reason.as_deref(), Some("567"));
        assert_eq!(change.occurred_at.as_second(), 1_782_862_117);
    }

    #[test]
    fn a_change_that_names_no_object_is_the_accounts() {
        for value in [
            "null",
            "7",
            "{}",
            r#"{"id":null}"#,
            r#"{"id":"Ana's ad"}"#,
            r#"{"id":{}}"#,
            r#"[{"id":"2020"}]"#,
        ] {
            let start = ISSUES.find(r#"{"id":"2020""#).unwrap();
            let body = format!("{}{value}}}]}}]}}", &ISSUES[..start]);
            assert_eq!(event(&body).changes[0].record.id, "1010", "{value}");
        }
    }

    #[test]
    fn later_changes_come_after_earlier_ones_and_without_a_time_the_arrival_counts() {
        let revision = |body: &str| event(body).changes[0].revision;
        assert!(revision(ISSUES) < revision(&ISSUES.replace("1782862117", "1782862118")));
        let timeless = event(&ISSUES.replace(r#""time":1782862117,"#, ""));
        assert_eq!((timeless.occurred_at, timeless.changes[0].occurred_at), (None, Timestamp::UNIX_EPOCH));
    }
}
