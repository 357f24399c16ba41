//! Subscriptions that were disabled, deleted or sent elsewhere at the provider.

use serde_json::Value;

use super::fake::Api;
use super::setting::{ALL, Setting};

type Damage = fn(&mut dyn Api) -> bool;

const DAMAGES: [(&str, Damage); 3] = [
    ("disabled", |api| api.disable()),
    ("deleted", |api| api.delete()),
    ("sent elsewhere", |api| api.redirect()),
];

fn outcomes(setting: &Setting, before: usize) -> Vec<String> {
    let lines = setting.world.metrics.lines();
    let lines = lines.iter().skip(before).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["Subscriptions"].is_number());
    lines.map(|line| line["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_schedule_notices_the_damage_and_mends_it() {
    for (provider, count) in ALL {
        for (name, damage) in DAMAGES {
            let setting = Setting::of(provider).await;
            setting.comes_to("ensure", "created").await;
            if !setting.fake.api(damage) {
                continue;
            }
            let before = setting.world.metrics.lines().len();
            assert_eq!(setting.scheduled().await.1, 0, "{provider} {name}");
            setting.is_sound(count);
            let outcomes = outcomes(&setting, before);
            assert!(outcomes.contains(&"repaired".to_owned()), "{provider} {name}: {outcomes:?}");
            setting.fake.changes();
            assert_eq!(setting.scheduled().await.1, 0, "{provider} {name}");
            assert_eq!(setting.fake.changes(), [""; 0], "{provider} {name}");
        }
    }
}

#[tokio::test]
async fn what_was_wrong_stays_told_when_it_is_mended() {
    let setting = Setting::of("zettle").await;
    setting.comes_to("ensure", "created").await;
    setting.fake.api(|api| api.delete());
    setting.scheduled().await;
    let kept = setting.kept().await.unwrap();
    let noticed = kept.noticed.unwrap();
    assert!(noticed.repaired && noticed.what.contains("deleted"), "{noticed:?}");
    assert_eq!((kept.problem, noticed.at), (None, setting.world.now()));
}

#[tokio::test]
async fn where_nothing_is_to_be_mended_by_itself_it_is_told_and_left() {
    let setting = Setting::of("loyverse").await;
    let mut said = setting.said();
    said["auto_repair_subscriptions"] = "false".into();
    setting.configure(said).await;
    setting.comes_to("ensure", "created").await;
    setting.fake.api(|api| api.disable());
    setting.fake.changes();
    let before = setting.world.metrics.lines().len();
    assert_eq!(setting.scheduled().await, (1, 1));
    assert_eq!((setting.fake.changes(), outcomes(&setting, before)), (vec![], vec!["disabled".to_owned()]));
    let kept = setting.kept().await.unwrap();
    let problem = kept.problem.unwrap();
    assert!(problem.contains("receipts.update was disabled"), "{problem}");
    assert!(!kept.noticed.unwrap().repaired);
    setting.comes_to("repair", "repaired").await;
    setting.is_sound(3);
}

#[tokio::test]
async fn another_address_of_ours_has_everything_sent_there() {
    for (provider, count) in ALL {
        // Square and Twilio sign the URL, which the provider's secret says here.
        if ["square", "twilio"].contains(&provider) {
            continue;
        }
        let mut setting = Setting::of(provider).await;
        setting.comes_to("ensure", "created").await;
        setting.world.public_url = "https://moved.example.com".to_owned();
        setting.world.restart().await;
        let (_, wrong) = setting.scheduled().await;
        assert_eq!(wrong, 0, "{provider}");
        setting.is_sound(count);
    }
}
