use serde_json::{Value, json};

use super::super::check::tests::mistakes;
use super::*;

fn none() -> Vec<String> {
    Vec::new()
}

/// The mistakes of a configuration of one location with these connections.
fn of(providers: &Value) -> Vec<String> {
    let location = json!({"id": "harbour", "business": "cafe", "providers": providers});
    let found = mistakes(json!({"locations": [location]}));
    found.iter().map(|mistake| mistake.replace("locations[0].providers.", "")).collect()
}

/// The mistakes of two locations, `a` and `b`, with these connections to Square.
fn of_two(one: &Value, other: &Value) -> Vec<String> {
    mistakes(json!({"locations": [
        {"id": "a", "business": "cafe", "providers": {"square": one}},
        {"id": "b", "business": "cafe", "providers": {"square": other}},
    ]}))
}

#[test]
fn a_connection_that_says_what_its_provider_needs_is_right() {
    let square = json!({"merchant_id": "M", "sync_menu": true, "environment": "sandbox", "role": "primary"});
    assert_eq!(of(&json!({"square": square, "stripe": {}})), none());
}

#[test]
fn an_unknown_provider_is_named_with_the_nearest_one() {
    assert_eq!(of(&json!({"sqare": {}})), ["sqare: unknown provider \"sqare\". Did you mean \"square\"?"]);
    let configuration = json!({"providers": {"Shopify": {}}, "connections": [
        {"business": "cafe", "provider": "stripes"},
        {"business": "cafe", "provider": ""},
    ]});
    assert_eq!(
        mistakes(configuration),
        [
            "providers.Shopify: unknown provider \"Shopify\". Did you mean \"shopify\"?",
            "connections[0].provider: unknown provider \"stripes\". Did you mean \"stripe\"?",
            "connections[1]: it is not said which provider this connection is to. Say \"provider\" with its name",
        ]
    );
}

#[test]
fn an_unknown_setting_is_named_once_with_what_was_meant() {
    assert_eq!(
        of(&json!({"square": {"merchant": "M"}})),
        ["square.merchant: unknown setting \"merchant\" of square. Did you mean \"merchant_id\"?"]
    );
    assert_eq!(
        of(&json!({"square": {"merchant_id": "M", "sync_menus": true}})),
        ["square.sync_menus: unknown setting \"sync_menus\" of square. Did you mean \"sync_menu\"?"]
    );
}

#[test]
fn what_a_provider_needs_may_be_said_for_all_of_its_connections() {
    let missing = "\"merchant_id\" of square is missing. It is Square's id of the merchant";
    assert_eq!(of(&json!({"square": {}})), [format!("square: {missing}")]);
    assert_eq!(
        of(&json!({"square": {"merchant_id": " "}})),
        [
            "square.merchant_id: \"merchant_id\" is blank, and square can't do without it. It is Square's id of the \
          merchant"
        ]
    );
    let location = json!({"id": "harbour", "business": "cafe", "providers": {"square": {}}});
    let defaults = json!({"square": {"merchant_id": "M"}});
    assert_eq!(mistakes(json!({"providers": defaults, "locations": [location]})), none());
}

#[test]
fn values_are_of_their_settings_kinds() {
    let square = |name: &str, value: &str| of(&json!({"square": {"merchant_id": "M", name: value}}));
    assert_eq!(
        square("sync_menu", "yes"),
        ["square.sync_menu: \"sync_menu\" must be true or false. Say true"]
    );
    assert_eq!(square("sync_menu", ""), none());
    let weak = square("url_key", "hunter2");
    assert!(weak[0].contains("must have 16 characters or more") && !weak[0].contains("hunter2"), "{weak:?}");
    assert_eq!(square("url_key", &"x".repeat(16)), none());

    let fits = |kind, value| misfit(&Setting::optional("it", kind, ""), value).is_none();
    for (value, good) in [
        ("https://example.com/api", true),
        ("https://example.com:8443", true),
        ("http://example.com", false),
        ("http://127.0.0.1:8090/api", true),
        ("http://localhost", true),
        ("http://[::1]:1", true),
        ("http://localhost.example.com", false),
        ("http://127.0.0.1@example.com", false),
        ("http://127.0.0.1:8090@example.com", false),
        ("https://", false),
        ("https:///path", false),
        ("https://user:hunter2@example.com", false),
        ("example.com", false),
    ] {
        assert_eq!(fits(SettingKind::Url, value), good, "{value}");
    }
    for (value, good) in [
        ("2027-02-28T00:00:00Z", true),
        ("2027-02-28T12:00:00+05:30", true),
        ("2027-02-28", false),
        ("in three months", false),
    ] {
        assert_eq!(fits(SettingKind::Time, value), good, "{value}");
    }
    for (value, good) in
        [("4", true), ("-4", true), ("4.5", false), ("four", false), ("-", false), ("0x4", false)]
    {
        assert_eq!(fits(SettingKind::Number, value), good, "{value}");
    }
}

#[test]
fn ids_of_connections_are_valid_and_differ_whether_given_or_not() {
    let invalid = of(&json!({"square": {"id": "No.1", "merchant_id": "M"}}));
    assert_eq!(invalid, [format!("square.id: \"No.1\" can't be the id of a connection. {ID}")]);
    let configuration = json!({"locations": [
        {"id": "a", "business": "cafe", "providers": {"square": {"merchant_id": "1"}}},
        {"id": "b", "business": "cafe", "providers": {"square": {"id": "a-square", "merchant_id": "2"}}},
    ]});
    assert_eq!(
        mistakes(configuration),
        [
            "locations[1].providers.square.id: there are two connections with the id \"a-square\". Give one of them \
          another \"id\""
        ]
    );
    let long = "x".repeat(60);
    let location = json!({"id": long, "business": "cafe", "providers": {"square": {"merchant_id": "M"}}});
    let found = mistakes(json!({"locations": [location]}));
    assert!(found.len() == 1 && found[0].ends_with("Give this connection an \"id\""), "{found:?}");
}

#[test]
fn an_id_is_no_word_of_its_providers_paths() {
    let petpooja = tillwatch_providers::named("petpooja").unwrap();
    let word = petpooja.paths().first().unwrap();
    let keys =
        json!({"id": word, "restaurant_id": "R", "app_key": "k", "app_secret": "s", "access_token": "t"});
    let found = of(&json!({"petpooja": keys}));
    let wrong = format!("a connection to petpooja can't have the id \"{word}\"");
    assert!(found[0].contains(&wrong), "{found:?}");
    assert_eq!(of(&json!({"square": {"id": word, "merchant_id": "M"}})), none());
}

#[test]
fn two_locations_of_one_id_are_complained_of_once() {
    let location = |merchant: &str| json!({"id": "a", "business": "cafe", "providers": {"square": {"merchant_id": merchant}}});
    let found = mistakes(json!({"locations": [location("1"), location("2")]}));
    assert_eq!(found, ["locations[1].id: there are two locations with the id \"a\""]);
}

#[test]
fn two_connections_can_not_be_found_by_the_same_account_and_place() {
    assert_eq!(
        of_two(&json!({"merchant_id": "M"}), &json!({"merchant_id": "M"})),
        [
            "locations[1].providers.square.merchant_id: \"a-square\" and \"b-square\" claim the same merchant_id. Give \
          each a \"location_id\" of its own"
        ]
    );
    let disabled = json!({"merchant_id": "M", "state": "disabled"});
    assert!(!of_two(&disabled, &json!({"merchant_id": "M"})).iter().any(|found| found.contains("claim")));
    let at = |place: &str| json!({"merchant_id": "M", "location_id": place});
    assert_eq!(
        of_two(&at("L"), &at("L")),
        [
            "locations[1].providers.square.merchant_id: \"a-square\" and \"b-square\" claim the same merchant_id and the \
          same location_id. An event could not be told to be one's or the other's"
        ]
    );
    assert_eq!(of_two(&at("L"), &at("K")), none());
    assert_eq!(of_two(&at("L"), &json!({"merchant_id": "M"})), none());
}

#[test]
fn only_one_connection_can_be_of_our_own_account() {
    let location = |id: &str, said: Value| json!({"id": id, "business": "cafe", "providers": said});
    let two =
        |one: Value, other: Value| mistakes(json!({"locations": [location("a", one), location("b", other)]}));
    assert_eq!(two(json!({"stripe": {}}), json!({"stripe": {"account": "acct_1"}})), none());
    assert_eq!(
        two(json!({"stripe": {}}), json!({"stripe": {}})),
        [
            "locations[1].providers.stripe: \"a-stripe\" and \"b-stripe\" leave out account, and so are both of our own \
          account. Give each a \"account\" of its own"
        ]
    );
    let calendar = || json!({"google_calendar": {"calendar_id": "primary"}});
    assert_eq!(two(calendar(), calendar()), none());
}

#[test]
fn a_secret_is_not_said_for_all_connections() {
    let found = mistakes(json!({"providers": {"square": {"access_token": "hunter2"}}}));
    assert_eq!(
        found,
        [
            "providers.square.access_token: \"access_token\" is a secret, and can't be the same for all connections. Say it \
          of each connection, or put it into the provider's own secret"
        ]
    );
}

#[test]
fn a_secret_of_two_locations_is_warned_of_and_not_quoted() {
    let with = |merchant: &str| json!({"merchant_id": merchant, "access_token": "hunter2"});
    let found = of_two(&with("1"), &with("2"));
    assert_eq!(
        found,
        [
            "locations[1].providers.square.access_token: \"access_token\" is the same as at another location. Each should \
          have its own, so that one can be taken back alone"
        ]
    );
}

#[test]
fn a_second_connection_needs_a_first_one() {
    let square = |role: &str| json!({"merchant_id": "M", "role": role});
    assert_eq!(of(&json!({"square": square("shadow"), "stripe": {}})), none());
    assert_eq!(
        of(&json!({"square": square("fallback"), "stripe": {"state": "disabled"}})),
        [
            "square.role: square is \"fallback\" at a location without a primary connection. Make one of its connections \
          \"primary\" and \"enabled\""
        ]
    );
}

#[test]
fn no_provider_has_a_setting_of_a_name_that_means_something_else() {
    for provider in catalogue::all() {
        for setting in provider.about().settings {
            let taken =
                CORE.contains(&setting.name) || ["business", "provider", "sealed"].contains(&setting.name);
            assert!(!taken, "{}: {}", provider.name(), setting.name);
        }
        let about = provider.about();
        for name in about.accounts.iter().chain(about.places) {
            assert!(provider.setting(name).is_some(), "{}: {name}", provider.name());
        }
    }
}
