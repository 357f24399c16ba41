use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::embedded::stream::StreamTail;
use crate::embedded::testing::{
    Clock, ask, assert_uses_an_index, create_tables, given, killed, refusal, report,
};

struct Fixture {
    table: EmbeddedTable,
    clock: Clock,
    scratch: TempDir,
}

async fn tables() -> Fixture {
    let (clock, scratch) = (Clock::new(), tempdir().unwrap());
    let table = EmbeddedTable::open(&scratch.path().join("table.db"), &clock.now()).unwrap();
    create_tables(&table).await;
    Fixture { table, clock, scratch }
}

fn item(id: &str) -> Value {
    json!({"id": {"S": id}, "group": {"S": "square"}, "amount": {"N": "12345678901234567890.5"}})
}

fn key(id: &str) -> Value {
    json!({"TableName": "main", "Key": {"id": {"S": id}}})
}

fn new_item(id: &str) -> Value {
    json!({"TableName": "main", "Item": item(id), "ConditionExpression": "attribute_not_exists(id)"})
}

impl EmbeddedTable {
    async fn has(&self, id: &str) -> bool {
        ask(self, "GetItem", &key(id)).await.get("Item").is_some()
    }

    async fn sweeps(&self) -> usize {
        let mut swept = 0;
        loop {
            match self.sweep_some().await.unwrap() {
                0 => return swept,
                some => swept += some,
            }
        }
    }

    async fn asks<T: rusqlite::types::FromSql + Send + 'static>(&self, sql: &'static str) -> T {
        self.on_writer(move |storage| Ok(storage.conn().query_one(sql, (), |row| row.get(0))?)).await.unwrap()
    }
}

#[tokio::test]
async fn an_item_is_there_when_its_put_is_answered() {
    let f = tables().await;
    ask(&f.table, "PutItem", &new_item("a")).await;
    assert_eq!(ask(&f.table, "GetItem", &key("a")).await["Item"], item("a"));
}

#[tokio::test]
async fn each_operation_works() {
    let f = tables().await;
    let puts = json!([{"PutRequest": {"Item": item("a")}}, {"PutRequest": {"Item": item("b")}}]);
    ask(&f.table, "BatchWriteItem", &json!({"RequestItems": {"main": puts}})).await;
    let mut update = key("a");
    update["UpdateExpression"] = json!("SET seen = :yes");
    update["ExpressionAttributeValues"] = json!({":yes": {"BOOL": true}});
    ask(&f.table, "UpdateItem", &update).await;
    let both = json!({"RequestItems": {"main": {"Keys": [key("a")["Key"], key("b")["Key"]]}}});
    let got = ask(&f.table, "BatchGetItem", &both).await;
    assert_eq!(got["Responses"]["main"].as_array().unwrap().len(), 2);
    let by_group = json!({
        "TableName": "main", "IndexName": "by_group", "KeyConditionExpression": "#g = :g",
        "ExpressionAttributeNames": {"#g": "group"}, "ExpressionAttributeValues": {":g": {"S": "square"}},
    });
    assert_eq!(ask(&f.table, "Query", &by_group).await["Count"], 2);
    ask(&f.table, "DeleteItem", &key("a")).await;
    assert_eq!(ask(&f.table, "Scan", &json!({"TableName": "main"})).await["Count"], 1);
    let described = ask(&f.table, "DescribeTable", &json!({"TableName": "main"})).await;
    assert_eq!(described["Table"]["StreamSpecification"]["StreamEnabled"], true);
}

#[tokio::test]
async fn tables_in_memory_do_the_same() {
    let table = EmbeddedTable::memory(&Clock::new().now()).unwrap();
    create_tables(&table).await;
    ask(&table, "PutItem", &new_item("a")).await;
    assert!(table.has("a").await);
    assert_eq!(ask(&table, "Scan", &json!({"TableName": "main"})).await["Count"], 1);
}

#[tokio::test]
async fn of_those_who_put_a_new_item_at_once_one_succeeds() {
    let f = tables().await;
    let racers: Vec<_> = (0..50)
        .map(|_| {
            let table = f.table.clone();
            tokio::spawn(async move { table.call("PutItem", new_item("a").to_string().as_bytes()).await.0 })
        })
        .collect();
    let mut statuses = Vec::new();
    for racer in racers {
        statuses.push(racer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[1]), (200, 400));
    assert_eq!(f.table.asks::<i64>("SELECT count(*) FROM _stream_records").await, 1);
}

#[tokio::test]
async fn refusals_have_dynamodbs_names() {
    let f = tables().await;
    ask(&f.table, "PutItem", &new_item("a")).await;
    let again = refusal(&f.table, "PutItem", &new_item("a").to_string()).await;
    assert_eq!(again, (400, "ConditionalCheckFailedException".into()));
    let nowhere =
        refusal(&f.table, "GetItem", r#"{"TableName": "nowhere", "Key": {"id": {"S": "a"}}}"#).await;
    assert_eq!(nowhere, (400, "ResourceNotFoundException".into()));
    let broken = refusal(&f.table, "PutItem", r#"{"TableName": "#).await;
    assert_eq!(broken, (400, "SerializationException".into()));
    let keyless = refusal(&f.table, "GetItem", r#"{"TableName": "main"}"#).await;
    assert_eq!(keyless, (400, "ValidationException".into()));
    let unknown = refusal(&f.table, "DropEverything", "{}").await;
    assert_eq!(unknown, (400, "UnknownOperationException".into()));
}

#[tokio::test]
async fn a_transaction_that_is_refused_leaves_nothing() {
    let f = tables().await;
    ask(&f.table, "PutItem", &new_item("a")).await;
    let body = json!({"TransactItems": [{"Put": new_item("b")}, {"Put": new_item("a")}]});
    let refused = refusal(&f.table, "TransactWriteItems", &body.to_string()).await;
    assert_eq!(refused, (400, "TransactionCanceledException".into()));
    assert!(!f.table.has("b").await);
    assert_eq!(f.table.asks::<i64>("SELECT count(*) FROM _stream_records").await, 1);
}

#[tokio::test]
async fn a_transaction_is_made_once_for_its_token() {
    let f = tables().await;
    let mut adds = key("a");
    adds["UpdateExpression"] = json!("ADD paid :one");
    adds["ExpressionAttributeValues"] = json!({":one": {"N": "1"}});
    let mut body = json!({"TransactItems": [{"Update": adds}], "ClientRequestToken": "token"});
    for _ in 0..2 {
        ask(&f.table, "TransactWriteItems", &body).await;
    }
    assert_eq!(ask(&f.table, "GetItem", &key("a")).await["Item"]["paid"]["N"], "1");
    body["TransactItems"][0]["Update"]["ExpressionAttributeValues"][":one"]["N"] = json!("2");
    let other = refusal(&f.table, "TransactWriteItems", &body.to_string()).await;
    assert_eq!(other, (400, "IdempotentParameterMismatchException".into()));
    f.clock.pass(Duration::from_millis(TOKEN_LIFE.unsigned_abs() + 1));
    ask(&f.table, "TransactWriteItems", &body).await;
    assert_eq!(ask(&f.table, "GetItem", &key("a")).await["Item"]["paid"]["N"], "3");
}

#[tokio::test]
async fn expired_items_are_swept_and_their_deletion_is_marked_in_the_stream() {
    let f = tables().await;
    let ttl = json!({"AttributeName": "ttl", "Enabled": true});
    ask(&f.table, "UpdateTimeToLive", &json!({"TableName": "main", "TimeToLiveSpecification": ttl})).await;
    for number in 0..3 * SWEEP {
        let mut put = new_item(&number.to_string());
        put["Item"]["ttl"] = json!({"N": (Clock::START / 1000 + i64::from(number >= 2 * SWEEP)).to_string()});
        ask(&f.table, "PutItem", &put).await;
    }
    ask(&f.table, "PutItem", &new_item("forever")).await;
    assert_eq!(f.table.sweeps().await, 0);
    f.clock.pass(Duration::from_secs(1));
    assert_eq!(f.table.sweeps().await, 2 * SWEEP);
    assert!(!f.table.has("0").await && f.table.has(&(2 * SWEEP).to_string()).await);
    let tail = StreamTail::open(&f.table, "main").await.unwrap();
    let records = tail.next_batch(None, 1_000).await.unwrap();
    let marked = |record: &&Value| record["userIdentity"]["principalId"] == "dynamodb.amazonaws.com";
    assert_eq!(records.iter().filter(marked).count(), 2 * SWEEP);
    assert!(records.iter().filter(marked).all(|record| record["eventName"] == "REMOVE"));
    f.clock.pass(Duration::from_secs(1));
    assert_eq!(f.table.sweeps().await, SWEEP);
    assert!(f.table.has("forever").await);
    f.table
        .on_writer(|storage| {
            assert_uses_an_index(storage.conn(), &expired_in("main", "ttl").1);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn each_commit_is_fsynced() {
    let f = tables().await;
    assert_eq!(f.table.asks::<String>("PRAGMA journal_mode").await, "wal");
    let full = 2;
    assert_eq!(f.table.asks::<i64>("PRAGMA synchronous").await, full);
}

#[tokio::test]
async fn the_library_neither_opens_nor_ends_a_transaction() {
    let f = tables().await;
    let outcome = f.table.on_writer(|storage| {
        storage.begin_transaction()?;
        storage.rollback()?;
        assert!(!storage.conn().is_autocommit());
        storage.commit()?;
        assert!(!storage.conn().is_autocommit());
        Ok(())
    });
    outcome.await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_our_error_and_passes() {
    let f = tables().await;
    let limit = |pages: i64| {
        f.table.on_writer(move |storage| {
            Ok(storage.conn().pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
        })
    };
    limit(1).await.unwrap();
    let mut big = new_item("big");
    big["Item"]["text"] = json!({"S": "x".repeat(100_000)});
    assert_eq!(refusal(&f.table, "PutItem", &big.to_string()).await, (500, "InternalServerError".into()));
    assert!(!f.table.has("big").await);
    limit(1 << 30).await.unwrap();
    ask(&f.table, "PutItem", &big).await;
    assert!(f.table.has("big").await);
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let f = tables().await;
    let path = f.scratch.path().join("table.db").to_string_lossy().into_owned();
    drop(f.table);
    let mut put = BTreeSet::new();
    for round in 0..3 {
        put.extend(killed(
            "embedded::table::tests::puts_until_it_is_killed",
            &format!("{round} {path}"),
            100,
        ));
    }
    let table = EmbeddedTable::open(path.as_ref(), &f.clock.now()).unwrap();
    let tail = StreamTail::open(&table, "main").await.unwrap();
    let records = tail.next_batch(None, 100_000).await.unwrap();
    let recorded: Vec<_> =
        records.iter().map(|record| record["dynamodb"]["Keys"]["id"]["S"].as_str().unwrap()).collect();
    let unique: BTreeSet<_> = recorded.iter().copied().collect();
    assert_eq!(unique.len(), recorded.len());
    for id in put {
        assert!(unique.contains(&*id) && table.has(&id).await, "{id} is lost");
    }
    assert_eq!(table.asks::<usize>(r#"SELECT count(*) FROM "main""#).await, unique.len());
}

#[tokio::test]
#[ignore = "a child process of the test above"]
async fn puts_until_it_is_killed() {
    let line = given();
    let (round, path) = line.split_once(' ').unwrap();
    let table = EmbeddedTable::open(path.as_ref(), &Clock::new().now()).unwrap();
    let writers = (0..8).map(|writer| {
        let (table, round) = (table.clone(), round.to_owned());
        tokio::spawn(async move {
            for number in 0.. {
                let id = format!("{round}.{writer}.{number}");
                ask(&table, "PutItem", &new_item(&id)).await;
                report(&id);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
