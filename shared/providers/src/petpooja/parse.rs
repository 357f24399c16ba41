//! PetPooja's callbacks, told apart by the URL's path or, where it has none, by their fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, RecordKey, Revision, Status};

use super::body::{Ids, Loose, Named};
use super::moment;
use crate::json::{self, Reader, nanoseconds};
use crate::{ParseError, Received, digest};

/// The paths of the callbacks, which are also their names.
pub(super) const PATHS: &[&str] = &[
    "order-status",
    "menu-update",
    "inventory-update",
    "order",
    "menu",
    "store-status",
    "store-status-update",
    "item-stock",
];

/// The most changes of one event. A menu that changed more has changed as a whole; more stock is several events.
const MOST_CHANGES: usize = 500;
/// The record of a menu as a whole.
const MENU: &str = "menu";

#[derive(Default, Deserialize)]
#[serde(default)]
struct OrderCallback {
    #[serde(rename = "orderID")]
    ours: Loose,
    order_id: Loose,
    pos_order_id: Loose,
    status: Loose,
    timestamp: Loose,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MenuCallback {
    items: Option<Ids>,
    items_updated: Option<Ids>,
    timestamp: Loose,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StockCallback {
    #[serde(rename = "type")]
    of: Loose,
    #[serde(rename = "itemID")]
    items: Option<Ids>,
    item_id: Option<Ids>,
    #[serde(rename = "inStock")]
    in_stock: Loose,
    availability: Loose,
    timestamp: Loose,
}

/// What every event of one callback shares.
struct Callback<'a> {
    reader: Reader<'a>,
    restaurant: String,
    received: Received<'a>,
}

/// The events in a verified body: one, but for stock of more items than one event can change.
pub(super) fn parse(received: Received<'_>) -> Result<Vec<Event>, ParseError> {
    let rest = received.headers.route(PATHS).rest;
    let kind = match PATHS.iter().find(|path| **path == rest) {
        Some(path) => path,
        None => shape(received.body)?,
    };
    let reader = Reader { kind };
    let restaurant = json::read::<Named>(received.body, kind)?.id();
    let callback = Callback { reader, restaurant: reader.required("restID", restaurant)?, received };
    match kind {
        "order" | "order-status" => callback.order(json::read(received.body, kind)?),
        "menu" | "menu-update" => callback.menu(json::read(received.body, kind)?),
        "item-stock" | "inventory-update" => callback.stock(json::read(received.body, kind)?),
        // Opening hours are no records, and nothing is told of what else may come.
        _ => Ok(vec![callback.event(&callback.arrival(0), None, vec![])]),
    }
}

/// Which callback has these fields.
#[expect(
    clippy::zero_sized_map_values,
    reason = "an object is read as a map, and only its names are asked for"
)]
fn shape(body: &[u8]) -> Result<&'static str, ParseError> {
    let fields: BTreeMap<String, IgnoredAny> = json::read(body, "petpooja")?;
    let has = |field: &str| fields.contains_key(field);
    Ok(if has("items_updated") {
        "menu-update"
    } else if has("restaurants") || has("items") {
        "menu"
    } else if has("inStock") || has("itemID") {
        "item-stock"
    } else if has("availability") || has("item_id") {
        "inventory-update"
    } else if has("store_status") {
        "store-status-update"
    } else if has("orderID") && has("status") {
        "order"
    } else if has("order_id") && has("status") {
        "order-status"
    } else if fields.len() == 1 {
        "store-status"
    } else {
        "unknown"
    })
}

/// What a code or word says of an order. Both are listed in the order of an order's life.
fn status_of(said: &str) -> Option<Status> {
    Some(match said {
        "1" | "2" | "3" | "CONFIRMED" => Status::Confirmed,
        "PREPARING" => Status::Preparing,
        "5" | "READY" => Status::Ready,
        "4" | "DISPATCHED" => Status::Dispatched,
        "10" | "DELIVERED" => Status::Delivered,
        "REJECTED" => Status::Rejected,
        "-1" | "CANCELLED" | "CANCELED" => Status::Cancelled,
        _ => return None,
    })
}

/// Whether a word says that an item can be had. None, if it says neither.
fn available(said: &str) -> Option<bool> {
    let letters = said.chars().filter(char::is_ascii_alphanumeric);
    match letters.map(|letter| letter.to_ascii_lowercase()).collect::<String>().as_str() {
        "true" | "1" | "yes" | "available" | "instock" => Some(true),
        "false" | "0" | "no" | "unavailable" | "notavailable" | "outofstock" => Some(false),
        _ => None,
    }
}

impl Callback<'_> {
    /// Ids are unique within one restaurant.
    fn change(
        &self,
        kind: Kind,
        id: String,
        revision: Revision,
        status: Status,
        at: Timestamp,
        fields: Fields,
    ) -> Change {
        Change {
            record: RecordKey { provider: "petpooja".into(), scope: self.restaurant.clone(), kind, id },
            revision,
            occurred_at: at,
            status,
            fields,
        }
    }

    fn event(&self, key: &str, told: Option<Timestamp>, changes: Vec<Change>) -> Event {
        Event {
            dedupe: DedupeKey {
                provider: "petpooja".into(),
                account: self.restaurant.clone(),
                key: key.to_owned(),
            },
            kind: self.reader.kind.to_owned(),
            provider_event_id: None,
            occurred_at: told,
            test: false,
            changes,
        }
    }

    /// The key of the `part`th event of a body whose states can follow any other. Within a whole second the same may be said
    /// anew, and then every arrival is another.
    fn key(&self, told: Option<Timestamp>, part: usize) -> String {
        if told.is_some_and(|told| told.subsec_nanosecond() != 0) {
            self.content(part)
        } else {
            self.arrival(part)
        }
    }

    /// The place of a state that can follow any other: by its time, which a clock that is ahead must not put before what
    /// arrives later, and where that does not decide by its arrival.
    fn latest(&self, told: Timestamp, status: Status) -> Revision {
        let arrived = self.received.at;
        Revision { version: arrived.as_millisecond(), ..Revision::at(nanoseconds(told.min(arrived)), status) }
    }

    /// The key of the `part`th event of a body that tells no time: every arrival is another.
    fn arrival(&self, part: usize) -> String {
        let arrived = self.received.at.as_millisecond().to_string();
        digest::of([self.reader.kind.as_bytes(), self.received.body, arrived.as_bytes(), &part.to_be_bytes()])
    }

    /// The same of a body that tells its time: known by what it says.
    fn content(&self, part: usize) -> String {
        digest::of([self.reader.kind.as_bytes(), self.received.body, &part.to_be_bytes()])
    }

    fn told(&self, timestamp: Loose) -> Result<Option<Timestamp>, ParseError> {
        let text = timestamp.text(self.reader, "timestamp")?;
        Ok(text.and_then(|text| moment::read(&text, self.received.at)))
    }

    fn order(&self, order: OrderCallback) -> Result<Vec<Event>, ParseError> {
        let reader = self.reader;
        let ours = order.ours.text(reader, "orderID")?;
        let id = reader.required(
            "orderID",
            ours.map_or_else(|| order.order_id.text(reader, "order_id"), |id| Ok(Some(id)))?,
        )?;
        let said = reader.required("status", order.status.text(reader, "status")?)?.to_ascii_uppercase();
        let timestamp = order.timestamp.text(reader, "timestamp")?.unwrap_or_default();
        let told = moment::read(&timestamp, self.received.at);
        let number = order.pos_order_id.text(reader, "pos_order_id")?;
        let key = digest::of([b"order", id.as_bytes(), said.as_bytes(), timestamp.as_bytes()]);
        let change = status_of(&said).map(|status| {
            let (at, fields) = (told.unwrap_or(self.received.at), Fields { number, ..Fields::default() });
            self.change(Kind::Order, id, Revision::at(0, status), status, at, fields)
        });
        Ok(vec![self.event(&key, told, change.into_iter().collect())])
    }

    fn menu(&self, menu: MenuCallback) -> Result<Vec<Event>, ParseError> {
        let told = self.told(menu.timestamp)?;
        let at = told.unwrap_or(self.received.at);
        let mut ids = menu.items_updated.or(menu.items).unwrap_or_default().0;
        if ids.is_empty() || ids.len() > MOST_CHANGES {
            ids = vec![MENU.to_owned()];
        }
        let status = Status::Changed;
        let change = |id| self.change(Kind::Item, id, self.latest(at, status), status, at, Fields::default());
        Ok(vec![self.event(&self.key(told, 0), told, ids.into_iter().map(change).collect())])
    }

    fn stock(&self, stock: StockCallback) -> Result<Vec<Event>, ParseError> {
        let reader = self.reader;
        let told = self.told(stock.timestamp)?;
        let at = told.unwrap_or(self.received.at);
        let ids = reader.required("itemID", stock.items.or(stock.item_id))?.0;
        let said = match stock.in_stock.text(reader, "inStock")? {
            Some(said) => said,
            None => reader.required("inStock", stock.availability.text(reader, "availability")?)?,
        };
        let addon = stock.of.text(reader, "type")?.is_some_and(|of| of.eq_ignore_ascii_case("addon"));
        let status = available(&said).map(|is| if is { Status::Available } else { Status::Unavailable });
        let change = |id: &String| {
            // Addons are counted apart from items.
            let id = if addon { format!("addon:{id}") } else { id.clone() };
            let status = status?;
            Some(self.change(Kind::Stock, id, self.latest(at, status), status, at, Fields::default()))
        };
        let key = |part| self.key(told, part);
        if ids.is_empty() {
            return Ok(vec![self.event(&key(0), told, vec![])]);
        }
        let parts = ids.chunks(MOST_CHANGES).enumerate();
        Ok(parts
            .map(|(part, ids)| self.event(&key(part), told, ids.iter().filter_map(change).collect()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;
    use crate::request::SUFFIX;

    const ORDER: &str = r#"{"restID":"r1","orderID":"A-1","status":"1","cancel_reason":"","minimum_prep_time":20,"minimum_delivery_time":"","rider_name":"","rider_phone_number":"","is_modified":"No"}"#;
    const STATUS: &str = r#"{"order_id":"A-1","pos_order_id":"77","status":"PREPARING","timestamp":"2026-01-01T09:59:00Z","restaurant_id":"r1"}"#;
    const STOCK: &str = r#"{"restID":"r1","type":"item","inStock":false,"itemID":["7","8"],"autoTurnOnTime":"custom","customTurnOnTime":"2026-01-02 10:00"}"#;
    const INVENTORY: &str = r#"{"restaurant_id":"r1","item_id":"7","availability":"in_stock","timestamp":"2026-01-01T09:59:00Z"}"#;
    const UPDATE: &str =
        r#"{"restaurant_id":"r1","items_updated":["7",8],"timestamp":"2026-01-01T09:59:00Z"}"#;
    const MENU_PUSHED: &str = r#"{"success":"1","restaurants":[{"restaurantid":"4922","active":"1","details":{"menusharingcode":"r1"}}],"items":[{"itemid":"7","itemname":"Dal","price":"120","in_stock":"2"},{"itemid":"8"}],"serverdatetime":"2026-01-01 15:29:00"}"#;

    fn parsed(path: &str, body: &str, arrived: &str) -> Result<Vec<Event>, ParseError> {
        let headers = Headers::from_iter([(SUFFIX, format!("/harbour-petpooja/{path}"))]);
        parse(Received { headers: &headers, body: body.as_bytes(), at: arrived.parse().unwrap() })
    }

    fn event_at(body: &str, arrived: &str) -> Event {
        parsed("", body, arrived).unwrap().remove(0)
    }

    fn event(body: &str) -> Event {
        event_at(body, "2026-01-01T10:00:00Z")
    }

    fn change(body: &str) -> Change {
        event(body).changes.remove(0)
    }

    fn error(path: &str, body: &str) -> String {
        parsed(path, body, "2026-01-01T10:00:00Z").unwrap_err().to_string()
    }

    #[test]
    fn an_order_callback_is_read_with_its_status() {
        let event = event(ORDER);
        assert_eq!((event.kind.as_str(), event.dedupe.account.as_str()), ("order", "r1"));
        assert_eq!((event.occurred_at, event.changes.len()), (None, 1));
        let order = &event.changes[0];
        assert_eq!((order.record.kind, order.record.id.as_str()), (Kind::Order, "A-1"));
        assert_eq!((order.record.scope.as_str(), order.status), ("r1", Status::Confirmed));
        assert_eq!(order.occurred_at.to_string(), "2026-01-01T10:00:00Z");
    }

    #[test]
    fn an_order_status_is_read_with_its_time_and_the_tills_number() {
        let event = event(STATUS);
        assert_eq!(event.kind, "order-status");
        assert_eq!(event.occurred_at.unwrap().to_string(), "2026-01-01T09:59:00Z");
        let order = &event.changes[0];
        assert_eq!((order.record.id.as_str(), order.status), ("A-1", Status::Preparing));
        assert_eq!(order.fields.number.as_deref(), Some("77"));
    }

    #[test]
    fn every_code_and_word_is_a_status_in_any_case_and_another_says_nothing() {
        for (said, status) in [
            ("-1", Status::Cancelled),
            ("1", Status::Confirmed),
            ("2", Status::Confirmed),
            ("3", Status::Confirmed),
            ("4", Status::Dispatched),
            ("5", Status::Ready),
            ("10", Status::Delivered),
            ("confirmed", Status::Confirmed),
            ("Preparing", Status::Preparing),
            ("READY", Status::Ready),
            ("dispatched", Status::Dispatched),
            ("DELIVERED", Status::Delivered),
            ("cancelled", Status::Cancelled),
            ("REJECTED", Status::Rejected),
        ] {
            let body = ORDER.replace(r#""status":"1""#, &format!(r#""status":"{said}""#));
            assert_eq!(change(&body).status, status, "{said}");
        }
        assert_eq!(change(&ORDER.replace(r#""status":"1""#, r#""status":-1"#)).status, Status::Cancelled);
        assert_eq!(event(&ORDER.replace(r#""status":"1""#, r#""status":"7""#)).changes, []);
    }

    #[test]
    fn an_orders_statuses_are_ordered_by_its_life_whatever_their_codes_and_times() {
        let revision =
            |said: &str| change(&ORDER.replace(r#""status":"1""#, &format!(r#""status":"{said}""#))).revision;
        let life = ["1", "PREPARING", "5", "4", "10", "REJECTED", "-1"].map(revision);
        assert!(life.is_sorted() && life[0] < life[6], "{life:?}");
        let ready = ORDER.replace(r#""status":"1""#, r#""status":"5""#);
        let earlier = event_at(&ready, "2026-01-01T08:00:00Z").changes[0].revision;
        assert!(change(STATUS).revision < earlier, "no time places a status after what follows it");
    }

    #[test]
    fn an_order_callback_that_comes_again_is_the_same_event_and_another_status_another() {
        let key = |body: &str, arrived| event_at(body, arrived).dedupe;
        assert_eq!(key(ORDER, "2026-01-01T10:00:00Z"), key(ORDER, "2026-01-01T11:00:00Z"));
        let again = ORDER.replace(r#""minimum_prep_time":20"#, r#""minimum_prep_time":"25""#);
        assert_eq!(event(ORDER).dedupe, event(&again).dedupe);
        for other in [
            ORDER.replace(r#""status":"1""#, r#""status":"2""#),
            ORDER.replace("A-1", "A-2"),
            ORDER.replace("r1", "r2"),
        ] {
            assert_ne!(event(ORDER).dedupe.event_id(), event(&other).dedupe.event_id(), "{other}");
        }
        assert_ne!(event(STATUS).dedupe, event(&STATUS.replace("09:59:00", "09:59:01")).dedupe);
    }

    #[test]
    fn no_word_of_what_is_personal_is_kept_of_an_order() {
        let body = ORDER.replace(r#""cancel_reason":"""#, r#""cancel_reason":"Asha called""#);
        let body = body.replace(r#""rider_name":"""#, r#""rider_name":"Ravi""#);
        let kept = format!("{:?}", event(&body));
        assert!(!kept.contains("Asha") && !kept.contains("Ravi"), "{kept}");
    }

    #[test]
    fn stock_is_read_for_every_item_of_the_list() {
        let event = event(STOCK);
        assert_eq!((event.kind.as_str(), event.changes.len()), ("item-stock", 2));
        let read = |change: &Change| (change.record.kind, change.record.id.clone(), change.status);
        assert_eq!(read(&event.changes[0]), (Kind::Stock, "7".to_owned(), Status::Unavailable));
        assert_eq!(read(&event.changes[1]), (Kind::Stock, "8".to_owned(), Status::Unavailable));
    }

    #[test]
    fn an_addon_is_not_taken_for_the_item_of_its_id() {
        assert_eq!(change(&STOCK.replace(r#""type":"item""#, r#""type":"addon""#)).record.id, "addon:7");
    }

    #[test]
    fn an_inventory_update_says_in_one_of_many_words_whether_an_item_can_be_had() {
        let status = |word: &str| {
            let body = INVENTORY.replace(r#""in_stock""#, word);
            event(&body).changes.first().map(|change| change.status)
        };
        for word in [r#""in_stock""#, "true", "1", r#""Available""#, r#""In Stock""#] {
            assert_eq!(status(word), Some(Status::Available), "{word}");
        }
        for word in [r#""out_of_stock""#, "false", "0", r#""UNAVAILABLE""#] {
            assert_eq!(status(word), Some(Status::Unavailable), "{word}");
        }
        assert_eq!(status(r#""soon""#), None);
    }

    #[test]
    fn stock_is_ordered_by_its_time_and_without_one_by_its_arrival() {
        let revision = |body: &str, arrived| event_at(body, arrived).changes[0].revision;
        let back = STOCK.replace("false", "true");
        assert!(revision(STOCK, "2026-01-01T10:00:00Z") < revision(&back, "2026-01-01T10:00:01Z"));
        let late = INVENTORY.replace("09:59:00", "09:58:00").replace("in_stock", "out_of_stock");
        assert!(revision(&late, "2026-01-01T10:00:01Z") < revision(INVENTORY, "2026-01-01T10:00:00Z"));
    }

    #[test]
    fn what_tells_no_more_than_a_second_is_an_event_each_time_and_what_tells_more_is_one() {
        let key = |body: &str, arrived| event_at(body, arrived).dedupe;
        for untimed in [STOCK, MENU_PUSHED, INVENTORY, UPDATE, r#"{"restID":"r1"}"#] {
            assert_ne!(key(untimed, "2026-01-01T10:00:00Z"), key(untimed, "2026-01-01T10:00:00.001Z"));
        }
        for timed in [INVENTORY, UPDATE] {
            let timed = timed.replace("09:59:00Z", "09:59:00.25Z");
            assert_eq!(key(&timed, "2026-01-01T10:00:00Z"), key(&timed, "2026-01-01T11:00:00Z"));
        }
    }

    #[test]
    fn states_that_can_follow_any_other_are_ordered_by_arrival_within_a_second_and_where_a_clock_is_ahead() {
        let revision = |body: &str, arrived| event_at(body, arrived).changes[0].revision;
        let out = INVENTORY.replace("in_stock", "out_of_stock");
        assert!(revision(&out, "2026-01-01T10:00:00Z") < revision(INVENTORY, "2026-01-01T10:00:01Z"));
        assert!(revision(INVENTORY, "2026-01-01T10:00:00Z") < revision(&out, "2026-01-01T10:00:01Z"));
        let ahead = INVENTORY.replace("09:59:00", "10:03:00");
        assert!(
            revision(&ahead, "2026-01-01T10:00:00Z")
                < revision(&out.replace("09:59:00", "10:01:00"), "2026-01-01T10:02:00Z")
        );
    }

    #[test]
    fn stock_of_more_items_than_an_event_can_change_is_several_events() {
        let of = |count: usize| {
            let ids: Vec<_> = (0..count).map(|id| id.to_string()).collect();
            parsed("item-stock", &STOCK.replace(r#""7","8""#, &ids.join(",")), "2026-01-01T10:00:00Z")
        };
        let events = of(501).unwrap();
        assert_eq!(events.iter().map(|event| event.changes.len()).collect::<Vec<_>>(), [500, 1]);
        assert_ne!(events[0].dedupe, events[1].dedupe);
    }

    #[test]
    fn a_menus_items_have_changed_whether_it_names_them_or_brings_them() {
        for (body, kind) in [(UPDATE, "menu-update"), (MENU_PUSHED, "menu")] {
            let event = event(body);
            assert_eq!((event.kind.as_str(), event.dedupe.account.as_str()), (kind, "r1"));
            let ids: Vec<_> = event.changes.iter().map(|change| change.record.id.as_str()).collect();
            assert_eq!(ids, ["7", "8"], "{kind}");
            assert!(event.changes.iter().all(|change| change.status == Status::Changed));
        }
    }

    #[test]
    fn a_menu_that_names_no_items_or_too_many_has_changed_as_a_whole() {
        let many: Vec<_> = (0..501).map(|id| id.to_string()).collect();
        for items in [String::new(), many.join(",")] {
            let event = event(&UPDATE.replace(r#""7",8"#, &items));
            assert_eq!((event.changes.len(), event.changes[0].record.id.as_str()), (1, "menu"));
        }
    }

    #[test]
    fn what_a_restaurant_asks_or_says_of_its_opening_changes_nothing() {
        for (body, kind) in [
            (r#"{"restID":"r1"}"#, "store-status"),
            (r#"{"restID":"r1","store_status":0,"turn_on_time":"","reason":"x"}"#, "store-status-update"),
            (r#"{"restID":"r1","orderID":"A-1","rider":{}}"#, "unknown"),
        ] {
            assert_eq!((event(body).kind.as_str(), event(body).changes.len()), (kind, 0));
        }
    }

    #[test]
    fn the_path_decides_where_there_is_one() {
        let events = parsed("order-status", ORDER, "2026-01-01T10:00:00Z").unwrap();
        assert_eq!((events[0].kind.as_str(), events[0].changes.len()), ("order-status", 1));
        let headers = Headers::from_iter([(SUFFIX, "/item-stock")]);
        let received = Received { headers: &headers, body: STOCK.as_bytes(), at: Timestamp::UNIX_EPOCH };
        assert_eq!(parse(received).unwrap()[0].kind, "item-stock");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(error("order", r#"{"orderID":"A-1"}"#), "the field `restID` of a order event is missing");
        let body = r#"{"restID":"r1","status":"1"}"#;
        assert_eq!(error("order", body), "the field `orderID` of a order event is missing");
        let body = r#"{"restID":"r1","orderID":"A-1","status":""}"#;
        assert_eq!(error("order", body), "the field `status` of a order event is missing");
        let body = r#"{"restID":"r1","inStock":true}"#;
        assert_eq!(error("item-stock", body), "the field `itemID` of a item-stock event is missing");
        assert!(error("", "[]").contains("unexpected shape"));
    }

    #[test]
    fn nesting_is_passed_over_and_a_field_of_another_type_is_an_error() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let body = ORDER.replacen('{', &format!(r#"{{"unread":{deep},"#), 1);
        assert_eq!(change(&body).status, Status::Confirmed);
        let body = ORDER.replace(r#""status":"1""#, &format!(r#""status":{deep}"#));
        assert_eq!(error("order", &body), "the field `status` of a order event is of another type");
        let _ = parsed("item-stock", &STOCK.replace(r#""7""#, &deep), "2026-01-01T10:00:00Z");
    }
}
