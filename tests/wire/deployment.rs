//! The deployment of one test: the functions, their AWS, and what Lambda and API Gateway do between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_providers::Settings;
use tillwatch_tests::sender::{Sent, sample};

use super::emulators::{Aws, Function, PATIENCE, Variables, root};
use super::faults::FaultyWay;

/// The deployed stack.
pub(crate) struct Deployment {
    webhook: Function,
    processor: Function,
    rollup: Function,
    console: Function,
    environments: BTreeMap<String, Variables>,
    /// The processor's way to AWS.
    pub(crate) way: FaultyWay,
    aws: Aws,
    /// Where each shard of the stream is read next.
    places: BTreeMap<String, Value>,
    folder: TempDir,
}

/// An HTTP answer of the API.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: i64,
    /// The body.
    pub(crate) body: Value,
}

impl Answer {
    fn of(function: &Value) -> Self {
        let body = function["body"].as_str().unwrap_or_default();
        Self {
            status: function["statusCode"].as_i64().unwrap(),
            body: serde_json::from_str(body).unwrap_or_default(),
        }
    }
}

fn parsed(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The event of `events/` for a function.
pub(crate) fn event(name: &str) -> Value {
    parsed(root().join("events").join(name))
}

/// The keys of the tests that stand beside the stack's own tools.
fn keys(name: &str) -> Value {
    parsed(root().join("infra/sam-local/test-keys.json"))[name].clone()
}

/// Square's settings here.
pub(crate) fn settings() -> Settings {
    serde_json::from_value(keys("square")).unwrap()
}

/// A payment of Square's, signed.
pub(crate) fn payment() -> Sent {
    payment_number(1)
}

/// Another one.
pub(crate) fn payment_number(number: u64) -> Sent {
    sample("square", "payment.updated", number, SystemClock.now(), &settings())
}

/// The id of the payment that a request tells of.
pub(crate) fn payment_id(sent: &Sent) -> String {
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    body["data"]["id"].as_str().unwrap().to_owned()
}

impl Deployment {
    /// A new one, ready for webhooks.
    pub(crate) async fn ready() -> Self {
        let deployment = Self::without_secrets().await;
        for name in ["square", "console"] {
            deployment.put_secret(name).await;
        }
        deployment
    }

    /// A new one, as `CloudFormation` leaves it: secrets have no value yet.
    pub(crate) async fn without_secrets() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let aws = Aws::start(folder.path());
        let environments = aws.deploy();
        let way = FaultyWay::to(&aws.endpoint).await;
        let function = |name: &str, binary, endpoint| {
            Function::start(binary, &environments[name], endpoint, folder.path())
        };
        Self {
            webhook: function("WebhookSquare", "webhook-square", &aws.endpoint),
            processor: function("Processor", "processor", &way.endpoint),
            rollup: function("Rollup", "rollup", &aws.endpoint),
            console: function("Console", "console", &aws.endpoint),
            environments,
            way,
            aws,
            places: BTreeMap::new(),
            folder,
        }
    }

    fn variable(&self, function: &str, name: &str) -> &str {
        &self.environments[function][name]
    }

    /// What the function that the template calls `name` answers to this event.
    pub(crate) async fn answer(&self, name: &str, binary: &str, event: &Value) -> Value {
        let started;
        let function = match binary {
            "webhook-square" => &self.webhook,
            "processor" => &self.processor,
            "rollup" => &self.rollup,
            "console" => &self.console,
            _ => {
                let variables = &self.environments[name];
                started = Function::start(binary, variables, &self.aws.endpoint, self.folder.path());
                &started
            }
        };
        function.invoke(event).await
    }

    /// Gives a secret its value, as an operator does.
    pub(crate) async fn put_secret(&self, name: &str) {
        let input = json!({
            "SecretId": format!("tillwatch/dev/{name}"),
            "SecretString": keys(name).to_string(),
            "ClientRequestToken": format!("{name}-00000000-0000-0000-0000-000000000000"),
        });
        self.aws.call("secretsmanager.PutSecretValue", &input).await;
    }

    /// Makes the connection that the events of a request of Square's belong to, as declaring it does.
    pub(crate) async fn declare(&self, sent: &Sent) {
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let item = [
            ("pk", format!("A#square#{}", body["merchant_id"].as_str().unwrap())),
            ("sk", "harbour-square".to_owned()),
            ("bs", "harbour".to_owned()),
            ("st", "enabled".to_owned()),
            ("ro", "primary".to_owned()),
        ];
        self.put_connection_item(&item.map(|(name, value)| (name, json!({ "S": value })))).await;
    }

    /// Puts an item into the table of connections.
    pub(crate) async fn put_connection_item(&self, item: &[(&str, Value)]) {
        let input = json!({
            "TableName": self.variable("Processor", "TILLWATCH_CONNECTIONS_TABLE"),
            "Item": item.iter().cloned().collect::<BTreeMap<_, _>>(),
        });
        self.aws.call("DynamoDB_20120810.PutItem", &input).await;
    }

    /// The secret that this variable of the webhook functions names.
    pub(crate) async fn secret(&self, variable: &str) -> SecretString {
        let input = json!({"SecretId": self.variable("WebhookSquare", variable)});
        let answer = self.aws.call("secretsmanager.GetSecretValue", &input).await;
        answer["SecretString"].as_str().unwrap().to_owned().into()
    }

    /// Posts a webhook, as API Gateway hands it over.
    pub(crate) async fn post(&self, sent: &Sent) -> Answer {
        let (mut event, posted) = (event("webhook-square.json"), json!(sent.event()));
        for part in ["headers", "body", "isBase64Encoded"] {
            event[part] = posted[part].clone();
        }
        Answer::of(&self.webhook.invoke(&event).await)
    }

    /// Puts a text on the queue that no function has written.
    pub(crate) async fn send(&self, text: &str) {
        let input =
            json!({"QueueUrl": self.variable("Processor", "TILLWATCH_QUEUE_URL"), "MessageBody": text});
        self.aws.call("AmazonSQS.SendMessage", &input).await;
    }

    /// Receives this many messages, as one batch for the processor.
    pub(crate) async fn receive(&self, count: usize) -> Value {
        self.receive_of("TILLWATCH_QUEUE_URL", count).await
    }

    /// The same of the queue that a variable of the console names.
    pub(crate) async fn receive_of(&self, variable: &str, count: usize) -> Value {
        let queue = self.variable("Console", variable);
        let (started, mut records) = (Instant::now(), Vec::new());
        while records.len() < count {
            assert!(started.elapsed() < PATIENCE, "{count} messages come, and not only {}", records.len());
            let input = json!({
                "QueueUrl": queue,
                "MaxNumberOfMessages": count - records.len(),
                "WaitTimeSeconds": 5,
                "MessageSystemAttributeNames": ["All"],
            });
            let received = self.aws.call("AmazonSQS.ReceiveMessage", &input).await;
            records.extend(received["Messages"].as_array().into_iter().flatten().map(|message| {
                json!({
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": message["Attributes"],
                    "messageAttributes": {},
                    "md5OfBody": message["MD5OfBody"],
                    "eventSource": "aws:sqs",
                    "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{}", name_in(queue)),
                    "awsRegion": "us-east-1",
                })
            }));
        }
        json!({ "Records": records })
    }

    /// Hands a batch to the processor; the ids of the messages that it reports as failed.
    pub(crate) async fn deliver(&self, batch: &Value) -> Vec<Value> {
        let answer = self.processor.invoke(batch).await;
        let failures = answer["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].clone()).collect()
    }

    /// Deletes a batch's messages, for they were processed.
    pub(crate) async fn delete(&self, batch: &Value) {
        self.about_each(batch, "AmazonSQS.DeleteMessage", json!({})).await;
    }

    /// Lets the time-out of a batch's messages end, so that they are received again.
    pub(crate) async fn time_out(&self, batch: &Value) {
        self.about_each(batch, "AmazonSQS.ChangeMessageVisibility", json!({"VisibilityTimeout": 0})).await;
    }

    async fn about_each(&self, batch: &Value, operation: &str, mut input: Value) {
        input["QueueUrl"] = json!(self.variable("Processor", "TILLWATCH_QUEUE_URL"));
        for message in batch["Records"].as_array().unwrap() {
            input["ReceiptHandle"] = message["receiptHandle"].clone();
            self.aws.call(operation, &input).await;
        }
    }

    /// Takes this many messages the whole way: they are received, processed, deleted, and counted.
    pub(crate) async fn work(&mut self, messages: usize) {
        let batch = self.receive(messages).await;
        assert_eq!(self.deliver(&batch).await, [json!(null); 0]);
        self.delete(&batch).await;
        self.count().await;
    }

    /// Hands what changed in the table to the rollup.
    pub(crate) async fn count(&mut self) {
        for window in self.changes().await {
            self.roll_up(&window).await;
        }
    }

    /// What changed in the table since this was last asked: a batch for the rollup of each shard where something did.
    pub(crate) async fn changes(&mut self) -> Vec<Value> {
        let table = json!({"TableName": self.variable("Rollup", "TILLWATCH_TABLE")});
        let table = self.aws.call("DynamoDB_20120810.DescribeTable", &table).await;
        let stream = &table["Table"]["LatestStreamArn"];
        let described = json!({ "StreamArn": stream });
        let described = self.aws.call("DynamoDBStreams_20120810.DescribeStream", &described).await;
        let mut windows = Vec::new();
        for shard in described["StreamDescription"]["Shards"].as_array().unwrap() {
            let shard = shard["ShardId"].as_str().unwrap();
            if !self.places.contains_key(shard) {
                let beginning =
                    json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
                let mut place = self.aws.call("DynamoDBStreams_20120810.GetShardIterator", &beginning).await;
                self.places.insert(shard.to_owned(), place["ShardIterator"].take());
            }
            let from = json!({"ShardIterator": self.places[shard]});
            let mut read = self.aws.call("DynamoDBStreams_20120810.GetRecords", &from).await;
            self.places.insert(shard.to_owned(), read["NextShardIterator"].take());
            // As the template's filters say.
            let is_wanted = |record: &&Value| {
                let key = |name: &str| record["dynamodb"]["Keys"][name]["S"].as_str().unwrap_or_default();
                match record["eventName"].as_str() {
                    Some("REMOVE") => key("pk").starts_with("E#req_"),
                    _ => key("sk") == "E",
                }
            };
            let records: Vec<_> = read["Records"].as_array().unwrap().iter().filter(is_wanted).collect();
            if !records.is_empty() {
                windows.push(json!({
                    "Records": records,
                    "shardId": shard,
                    "eventSourceARN": stream,
                    "window": {"start": "2026-11-23T23:03:00Z", "end": "2026-11-23T23:04:00Z"},
                    "state": {},
                    "isFinalInvokeForWindow": false,
                    "isWindowTerminatedEarly": false,
                }));
            }
        }
        windows
    }

    /// Hands one batch of changes to the rollup.
    pub(crate) async fn roll_up(&self, window: &Value) {
        assert_eq!(self.rollup.invoke(window).await, json!({"state": {}}));
    }

    /// Ends the processor, whatever it is at, and starts another.
    pub(crate) fn replace_processor(self) -> Self {
        let Self { processor, .. } = self;
        drop(processor);
        let variables = &self.environments["Processor"];
        let processor = Function::start("processor", variables, &self.way.endpoint, self.folder.path());
        Self { processor, ..self }
    }

    /// Asks the console.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        Answer::of(&self.console.invoke(&question("GET", path)).await)
    }

    /// Lets functions that are started from now on call what is near.
    pub(crate) fn let_near(&mut self) {
        for variables in self.environments.values_mut() {
            variables.insert("TILLWATCH_ALLOW_PRIVATE".to_owned(), "true".to_owned());
        }
    }

    /// Asks another instance of the console to do something.
    pub(crate) async fn order(&self, method: &str, path: &str, body: &Value) -> Answer {
        let mut event = question(method, path);
        event["headers"]["content-type"] = json!("application/json");
        event["body"] = json!(body.to_string());
        let variables = &self.environments["Console"];
        let console = Function::start("console", variables, &self.aws.endpoint, self.folder.path());
        Answer::of(&console.invoke(&event).await)
    }

    /// Asks the console for what must be there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Square's deliveries, as the console lists them.
    pub(crate) async fn deliveries(&self) -> Vec<Value> {
        self.get("/webhooks/deliveries/square").await["deliveries"].as_array().unwrap().clone()
    }

    /// Square's figures.
    pub(crate) async fn figures(&self) -> Value {
        self.get("/webhooks/health").await["providers"]["square"].clone()
    }

    /// A payment's record.
    pub(crate) async fn record(&self, id: &str) -> Value {
        self.get(&format!("/records/payments/square/{id}")).await
    }

    /// The names of what is in the bucket of payloads, as S3 lists them.
    pub(crate) async fn stored_payloads(&self) -> String {
        self.aws.listing(self.variable("Processor", "TILLWATCH_PAYLOAD_BUCKET")).await
    }

    /// Asserts that this request's payment was made, by one event with one change, and that it counts once.
    pub(crate) async fn shows_once(&self, sent: &Sent) {
        let deliveries = self.deliveries().await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        assert_eq!(deliveries[0]["status"], "applied");
        let record = self.record(&payment_id(sent)).await;
        assert_eq!(record["status"], "completed", "{record}");
        assert_eq!(record["changes"].as_array().unwrap().len(), 1, "{record}");
        let figures = self.figures().await;
        let counted = ["received", "accepted", "processed", "applied"].map(|name| figures[name].as_i64());
        assert_eq!(counted, [Some(1); 4], "{figures}");
    }
}

fn question(method: &str, path: &str) -> Value {
    let mut event = event("console.json");
    event["routeKey"] = json!("$default");
    event["rawPath"] = json!(path);
    event["requestContext"]["routeKey"] = json!("$default");
    event["requestContext"]["http"]["method"] = json!(method);
    event["requestContext"]["http"]["path"] = json!(path);
    event
}

fn name_in(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}
