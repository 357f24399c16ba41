//! The table of businesses, locations and connections, and of what finds and proves a connection's webhooks.
//!
//! | item | `pk` | `sk` | |
//! |---|---|---|---|
//! | business, location, connection | `B#<id>`, `L#<id>`, `C#<id>` | `D` | a JSON document `d` and its revision `rv` |
//! | a provider's settings | `V#<provider>` | `D` | the same |
//! | a connection's webhook subscriptions | `U#<connection>`, `U#<provider>` | `D` | the same |
//! | what events find | `A#<provider>#<account>`, `A#<provider>#@<connection>` | `<connection>` | the connection's state, role, place, and whether it names accounts (`na`) |
//! | what webhook functions read | `W#<provider>#c#<connection>`, `W#<provider>#a#<account>` | `<connection>` | its sealed webhook secrets `s`; of its own also which writing `n` it is, and `pd` while that is unfinished |
//! | sealed tokens `s` | `S#<connection>` | `S` | how their refreshing stands `tk`, which writing it is `n` |
//! | a link to sign in anew `d`, its revision `rv` | `N#<connection>` | `D` | until `x` |
//! | whose `cn` a link is | `O#<digest of its secret>` | `O` | until `x` |
//! | a provider's pause | `P#<provider>` | `P` | |
//! | what becomes of unknown accounts | `M` | `M` | |
//! | what a key ring sealed first | `M#rings` | `<ring>` | |
//!
//! A function may be let at the partitions of its own kind alone. The index `listed` (`g1` the kind, `g1s` the id) lists
//! documents. What is derived from a connection's document is written before it, so that a process that ends in between
//! leaves a document that is still to be applied.

mod links;
mod sealed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_domain::{Connection, Role, Routed, State};
use tokio::sync::{Mutex, MutexGuard};

use crate::entropy;
use crate::table::item::{Reader, conditional, number, text};
use crate::table::schema::LISTED_BY_KIND;
use crate::table::{Item, TableError, Written};

pub use self::sealed::SealedTokens;

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tenant.
    Business,
    /// One of its stores.
    Location,
    /// A link to a provider.
    Connection,
    /// A provider's settings for all its connections.
    Provider,
    /// A replay, of events or rejected requests.
    Replay,
    /// What is subscribed to at a provider, for a connection or for all that share it.
    Subscription,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Business => "B",
            Self::Location => "L",
            Self::Connection => "C",
            Self::Provider => "V",
            Self::Replay => "J",
            Self::Subscription => "U",
        }
    }
}

/// A document and the revision of its item.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// The document.
    pub document: T,
    /// Counts the item's writes.
    pub revision: i64,
}

/// What a webhook function must know of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRoute {
    /// The connection's id.
    pub connection: String,
    /// The provider's ids that the connection's secrets may speak for.
    pub accounts: Vec<String>,
    /// Its own webhook settings, sealed; none, if it has none.
    pub sealed: Option<String>,
}

/// By what a webhook's connection is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum By {
    /// The id in the URL.
    Connection(String),
    /// The account that the request speaks of.
    Account(String),
}

/// What becomes of verified events of accounts that no connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Their connection is made.
    Auto,
    /// They are kept, and take effect when their connection is declared.
    Declared,
}

impl Unknown {
    /// The name used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Declared => "declared",
        }
    }

    /// What is called so.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Auto, Self::Declared].into_iter().find(|mode| mode.name() == name)
    }
}

/// The table of connections of one deployment.
#[derive(Debug, Clone)]
pub struct Connections {
    client: Client,
    table: String,
    changes: Arc<AtomicU64>,
    /// What writers wait for, spread over what they write.
    writing: Arc<[Mutex<()>]>,
}

/// How many writers of this process can be at work on different connections.
const WRITERS: usize = 256;

/// What is kept of how a connection is found by its own URL, as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnRoute {
    /// Its own webhook settings, sealed.
    pub sealed: Option<String>,
    /// The accounts that it was made found by last.
    pub accounts: Vec<String>,
    /// Whether somebody began to change how it is found, and has not come to its end.
    pub is_unfinished: bool,
    /// Which writing that was; none, if there was none.
    writing: Option<String>,
}

/// A change of how a connection is found that has begun.
#[derive(Debug)]
pub struct Routing {
    item: Item,
    writing: String,
}

/// The longest keys that `DynamoDB` takes, in bytes: nothing is found by longer ones.
const LONGEST_PARTITION: usize = 2048;
const LONGEST_SORT: usize = 1024;

/// More than most accounts have connections: a page of so few is quick to read.
const USUALLY_ALL: i32 = 16;

const WRITE_ROUTE: &str = "write how a webhook finds its connection";

fn webhook_partition(provider: &str, by: &By) -> String {
    match by {
        By::Connection(id) => format!("W#{provider}#c#{id}"),
        By::Account(account) => format!("W#{provider}#a#{account}"),
    }
}

impl Connections {
    /// The table of this name.
    pub fn new(config: &aws_types::SdkConfig, table: String) -> Self {
        let writing = (0..WRITERS).map(|_| Mutex::default()).collect();
        Self { client: Client::new(config), table, changes: Arc::default(), writing }
    }

    /// Another number when something that webhooks find was changed by this one or its clones: whoever keeps what it read
    /// in the same process need not wait until that is old.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Waits until no other writer of this process, of those that read first and then write, is at work on any of these:
    /// ids of connections, accounts.
    pub async fn alone(&self, on: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<MutexGuard<'_, ()>> {
        let stripe = |key: &str| {
            let sum = key.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            sum % self.writing.len()
        };
        // In one order for everyone, so that no two wait for each other.
        let stripes: BTreeSet<_> = on.into_iter().map(|key| stripe(key.as_ref())).collect();
        let mut guards = Vec::new();
        for stripe in stripes {
            guards.push(self.writing[stripe].lock().await);
        }
        guards
    }

    /// Opens the connection before the first webhook needs it. Whether it succeeds is of no matter.
    pub async fn warm(&self) {
        let _ = self.get("open the table of connections", "-", "-").await;
    }

    async fn get(&self, action: &'static str, pk: &str, sk: &str) -> Result<Option<Item>, TableError> {
        if pk.len() > LONGEST_PARTITION || sk.len() > LONGEST_SORT {
            return Ok(None);
        }
        let get = self.client.get_item().table_name(&self.table);
        let get = get.key("pk", text(pk)).key("sk", text(sk)).consistent_read(true);
        Ok(get.send().await.map_err(TableError::new(action))?.item)
    }

    async fn put(&self, action: &'static str, item: Item) -> Result<(), TableError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(TableError::new(action))
    }

    async fn delete(&self, action: &'static str, pk: &str, sk: &str) -> Result<(), TableError> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete.key("pk", text(pk)).key("sk", text(sk));
        delete.send().await.map(|_| ()).map_err(TableError::new(action))
    }

    async fn query(&self, action: &'static str, pk: String, anew: bool) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        let mut from = None;
        if pk.len() > LONGEST_PARTITION {
            return Ok(items);
        }
        loop {
            let query = self.client.query().table_name(&self.table).consistent_read(anew);
            // What is more comes on a second page, whole.
            let query = query.set_limit(from.is_none().then_some(USUALLY_ALL));
            let query = query.key_condition_expression("pk = :pk");
            let query = query.expression_attribute_values(":pk", text(&pk));
            let answer = query.set_exclusive_start_key(from).send().await.map_err(TableError::new(action))?;
            items.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }

    /// A document.
    pub async fn document<T: DeserializeOwned>(
        &self,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Stored<T>>, TableError> {
        let action = "read a document";
        let item = self.get(action, &format!("{}#{id}", kind.prefix()), "D").await?;
        item.map(|item| stored(action, &item)).transpose()
    }

    /// Writes a document over the revision that was read, or, if there was none, only if there still is none. `group` is
    /// what it is listed under beside its kind: a connection's provider.
    pub async fn put_document<T: Serialize>(
        &self,
        kind: Kind,
        id: &str,
        group: &str,
        document: &T,
        over: Option<i64>,
    ) -> Result<Written, TableError> {
        let action = "write a document";
        let json = serde_json::to_string(document).map_err(|_| TableError::corrupt(action, "d"))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(format!("{}#{id}", kind.prefix())))
            .item("sk", text("D"))
            .item("d", text(json))
            .item("rv", number(over.unwrap_or(0) + 1))
            .item("g1", text(listed_under(kind, group)))
            .item("g1s", text(id));
        let put = match over {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(revision) => {
                put.condition_expression("rv = :rv").expression_attribute_values(":rv", number(revision))
            }
        };
        conditional(put.send().await.map_err(TableError::new(action)))
    }

    /// Takes a document away.
    pub async fn delete_document(&self, kind: Kind, id: &str) -> Result<(), TableError> {
        self.delete("delete a document", &format!("{}#{id}", kind.prefix()), "D").await
    }

    /// Documents of a kind and group by id, at most `limit`, from after `after` on; and whether more follow.
    pub async fn documents<T: DeserializeOwned>(
        &self,
        kind: Kind,
        group: &str,
        after: &str,
        limit: i32,
    ) -> Result<(Vec<T>, bool), TableError> {
        let action = "list documents";
        let (items, more) = self.listed(action, kind, group, after, limit).await?;
        let documents = items.iter().map(|item| Ok(stored(action, item)?.document));
        Ok((documents.collect::<Result<_, TableError>>()?, more))
    }

    async fn listed(
        &self,
        action: &'static str,
        kind: Kind,
        group: &str,
        after: &str,
        limit: i32,
    ) -> Result<(Vec<Item>, bool), TableError> {
        if after.len() > LONGEST_SORT {
            return Ok((Vec::new(), false));
        }
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(LISTED_BY_KIND)
            .expression_attribute_values(":g", text(listed_under(kind, group)))
            .limit(limit);
        let query = if after.is_empty() {
            query.key_condition_expression("g1 = :g")
        } else {
            let query = query.expression_attribute_values(":after", text(after));
            query.key_condition_expression("g1 = :g AND g1s > :after")
        };
        let answer = query.send().await.map_err(TableError::new(action))?;
        let more = answer.last_evaluated_key.is_some();
        Ok((answer.items.unwrap_or_default(), more))
    }

    /// The same, ids alone.
    pub async fn ids(
        &self,
        kind: Kind,
        group: &str,
        after: &str,
        limit: i32,
    ) -> Result<(Vec<String>, bool), TableError> {
        let action = "list documents";
        let (items, more) = self.listed(action, kind, group, after, limit).await?;
        let ids = items.iter().map(|item| {
            let reader = Reader { action, item };
            reader.must("g1s", reader.text("g1s")).map(str::to_owned)
        });
        Ok((ids.collect::<Result<_, TableError>>()?, more))
    }

    /// The connections of an account, for its events. May be a moment old.
    pub async fn routes(&self, provider: &str, account: &str) -> Result<Vec<Routed>, TableError> {
        self.routes_read(provider, account, false).await
    }

    /// The same as they are now.
    pub async fn routes_now(&self, provider: &str, account: &str) -> Result<Vec<Routed>, TableError> {
        self.routes_read(provider, account, true).await
    }

    async fn routes_read(
        &self,
        provider: &str,
        account: &str,
        anew: bool,
    ) -> Result<Vec<Routed>, TableError> {
        let action = "find an event's connection";
        let items = self.query(action, format!("A#{provider}#{account}"), anew).await?;
        items.iter().map(|item| routed(action, item)).collect()
    }

    /// What proves a connection's webhooks. May be a moment old.
    pub async fn webhook_routes(&self, provider: &str, by: &By) -> Result<Vec<WebhookRoute>, TableError> {
        let action = "find a webhook's connection";
        let items = self.query(action, webhook_partition(provider, by), false).await?;
        let route = |item: &Item| {
            let reader = Reader { action, item };
            Ok(WebhookRoute {
                connection: reader.must("sk", reader.text("sk"))?.to_owned(),
                accounts: accounts_of(item),
                sealed: reader.text("s").map(str::to_owned),
            })
        };
        items.iter().map(route).collect()
    }

    /// How a connection is found by its own URL, as it is now.
    pub async fn own_route(&self, provider: &str, id: &str) -> Result<OwnRoute, TableError> {
        let action = "read how a connection is found";
        let pk = webhook_partition(provider, &By::Connection(id.to_owned()));
        let Some(item) = self.get(action, &pk, id).await? else { return Ok(OwnRoute::default()) };
        let reader = Reader { action, item: &item };
        Ok(OwnRoute {
            sealed: reader.text("s").map(str::to_owned),
            accounts: accounts_of(&item),
            is_unfinished: reader.text("pd").is_some(),
            writing: reader.text("n").map(str::to_owned),
        })
    }

    /// Makes a connection's webhooks and events find it, and those of `before`, its former self, no longer do, whatever
    /// is there.
    pub async fn route(
        &self,
        before: Option<&Connection>,
        connection: &Connection,
        sealed_webhook: Option<&str>,
    ) -> Result<(), TableError> {
        let former = before.map(|before| before.accounts.clone()).unwrap_or_default();
        let own = webhook_item(connection, sealed_webhook, &By::Connection(connection.id.clone()));
        let routed = async {
            self.route_accounts(&former, connection, sealed_webhook).await?;
            self.put(WRITE_ROUTE, own).await
        };
        let routed = routed.await;
        self.changes.fetch_add(1, Ordering::SeqCst);
        routed
    }

    /// The same, if nobody else has written it since it was read (`over`): else somebody else's change would be lost; none,
    /// if somebody has, and it is to be done again with what is there now. It stays unfinished until it is said to be done
    /// ([`Connections::routed`]), so that whoever ends in between is noticed.
    pub async fn route_over(
        &self,
        former: &[String],
        connection: &Connection,
        sealed_webhook: Option<&str>,
        over: &OwnRoute,
    ) -> Result<Option<Routing>, TableError> {
        let item = webhook_item(connection, sealed_webhook, &By::Connection(connection.id.clone()));
        let routing = Routing { item, writing: hex::encode(entropy::bytes::<8>()) };
        let begun = self.put_own(&routing, true, over.writing.as_deref()).await?;
        if begun == Written::No {
            return Ok(None);
        }
        let mut all = over.accounts.clone();
        all.extend_from_slice(former);
        let routed = self.route_accounts(&all, connection, sealed_webhook).await;
        self.changes.fetch_add(1, Ordering::SeqCst);
        routed.map(|()| Some(routing))
    }

    /// Says that a change of how a connection is found, and what it was made for, is done. Whether it still is the last
    /// one: somebody else's that came between is done by them.
    pub async fn routed(&self, routing: &Routing) -> Result<Written, TableError> {
        self.put_own(routing, false, Some(&routing.writing)).await
    }

    async fn put_own(
        &self,
        routing: &Routing,
        is_unfinished: bool,
        over: Option<&str>,
    ) -> Result<Written, TableError> {
        let mut item = routing.item.clone();
        item.insert("n".to_owned(), text(&routing.writing));
        if is_unfinished {
            item.insert("pd".to_owned(), text("1"));
        }
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = match over {
            None => put.condition_expression("attribute_not_exists(n)"),
            Some(over) => put.condition_expression("n = :n").expression_attribute_values(":n", text(over)),
        };
        conditional(put.send().await.map_err(TableError::new(WRITE_ROUTE)))
    }

    /// Has the connection found by its accounts, and by none of the `former` ones that it has no more.
    async fn route_accounts(
        &self,
        former: &[String],
        connection: &Connection,
        sealed: Option<&str>,
    ) -> Result<(), TableError> {
        let former: BTreeSet<_> =
            former.iter().filter(|former| !connection.accounts.contains(former)).collect();
        for account in former {
            self.unroute_account(&connection.provider, account, &connection.id).await?;
        }
        // Together: each is a write of its own, and waits for the disk or the network as long as all of them.
        let accounts = connection.accounts.iter().map(|account| By::Account(account.clone()));
        let items = accounts.map(|by| webhook_item(connection, sealed, &by));
        try_join_all(items.map(|item| self.put(WRITE_ROUTE, item))).await?;
        self.route_events(connection).await
    }

    /// Makes a connection's events find it as it is now; how its webhooks are proved stays as it is.
    pub async fn route_events(&self, connection: &Connection) -> Result<(), TableError> {
        let Connection { id, provider, .. } = connection;
        let by_id = by_id(id);
        let puts = connection.accounts.iter().chain([&by_id]).map(|account| {
            let mut item = Item::from([
                ("pk".to_owned(), text(format!("A#{provider}#{account}"))),
                ("sk".to_owned(), text(id)),
                ("bs".to_owned(), text(&connection.business)),
                ("st".to_owned(), text(connection.state.name())),
                ("ro".to_owned(), text(connection.role.name())),
            ]);
            if let Some(place) = &connection.place {
                item.insert("pl".to_owned(), text(place));
            }
            if connection.names_accounts() {
                item.insert("na".to_owned(), text("1"));
            }
            self.put("write how an event finds its connection", item)
        });
        try_join_all(puts).await.map(|_| ())
    }

    /// Has nothing find the connection any more.
    pub async fn unroute(&self, connection: &Connection) -> Result<(), TableError> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        for account in connection.accounts.iter().chain([&by_id(&connection.id)]) {
            self.unroute_account(&connection.provider, account, &connection.id).await?;
        }
        let pk = webhook_partition(&connection.provider, &By::Connection(connection.id.clone()));
        self.delete("take away a connection", &pk, &connection.id).await
    }

    async fn unroute_account(&self, provider: &str, account: &str, id: &str) -> Result<(), TableError> {
        let action = "take away how a connection is found";
        let by = By::Account(account.to_owned());
        self.delete(action, &webhook_partition(provider, &by), id).await?;
        self.delete(action, &format!("A#{provider}#{account}"), id).await
    }

    /// Since when a provider is paused, Unix milliseconds; none, if it is not.
    pub async fn paused_since(&self, provider: &str) -> Result<Option<i64>, TableError> {
        let action = "read whether a provider is paused";
        let item = self.get(action, &format!("P#{provider}"), "P").await?;
        Ok(item.as_ref().and_then(|item| Reader { action, item }.number("at")))
    }

    /// Pauses a provider from that moment on, Unix milliseconds, or ends its pause.
    pub async fn pause(&self, provider: &str, since: Option<i64>) -> Result<(), TableError> {
        let (action, pk) = ("pause a provider", format!("P#{provider}"));
        let Some(since) = since else { return self.delete(action, &pk, "P").await };
        let item = Item::from([
            ("pk".to_owned(), text(pk)),
            ("sk".to_owned(), text("P")),
            ("at".to_owned(), number(since)),
        ]);
        self.put(action, item).await
    }

    /// What becomes of events of unknown accounts, if that was said.
    pub async fn unknown(&self) -> Result<Option<Unknown>, TableError> {
        let action = "read what becomes of unknown accounts";
        let item = self.get(action, "M", "M").await?;
        Ok(item.as_ref().and_then(|item| Unknown::named(Reader { action, item }.text("un")?)))
    }

    /// Says what becomes of events of unknown accounts.
    pub async fn set_unknown(&self, unknown: Unknown) -> Result<(), TableError> {
        let item = Item::from([
            ("pk".to_owned(), text("M")),
            ("sk".to_owned(), text("M")),
            ("un".to_owned(), text(unknown.name())),
        ]);
        self.put("say what becomes of unknown accounts", item).await
    }
}

/// What stands for an account where the connection itself is known.
pub fn by_id(connection: &str) -> String {
    format!("@{connection}")
}

/// How a webhook finds a connection.
fn webhook_item(connection: &Connection, sealed: Option<&str>, by: &By) -> Item {
    let Connection { id, provider, accounts, .. } = connection;
    let accounts = AttributeValue::L(accounts.iter().map(text).collect());
    let mut item = Item::from([
        ("pk".to_owned(), text(webhook_partition(provider, by))),
        ("sk".to_owned(), text(id)),
        ("ac".to_owned(), accounts),
    ]);
    if let Some(sealed) = sealed {
        item.insert("s".to_owned(), text(sealed));
    }
    item
}

fn accounts_of(item: &Item) -> Vec<String> {
    let accounts = item.get("ac").and_then(|list| list.as_l().ok());
    accounts.into_iter().flatten().filter_map(|value| value.as_s().ok().cloned()).collect()
}

fn listed_under(kind: Kind, group: &str) -> String {
    format!("{}#{group}", kind.prefix())
}

fn stored<T: DeserializeOwned>(action: &'static str, item: &Item) -> Result<Stored<T>, TableError> {
    let reader = Reader { action, item };
    let json = reader.must("d", reader.text("d"))?;
    let document = serde_json::from_str(json).map_err(|_| TableError::corrupt(action, "d"))?;
    Ok(Stored { document, revision: reader.must("rv", reader.number("rv"))? })
}

fn routed(action: &'static str, item: &Item) -> Result<Routed, TableError> {
    let reader = Reader { action, item };
    let states = [State::Enabled, State::Paused, State::Disabled];
    let roles = [Role::Primary, Role::Shadow, Role::Fallback];
    let state = reader.text("st").and_then(|name| states.into_iter().find(|state| state.name() == name));
    let role = reader.text("ro").and_then(|name| roles.into_iter().find(|role| role.name() == name));
    Ok(Routed {
        connection: reader.must("sk", reader.text("sk"))?.to_owned(),
        business: reader.must("bs", reader.text("bs"))?.to_owned(),
        state: reader.must("st", state)?,
        role: reader.must("ro", role)?,
        place: reader.text("pl").map(str::to_owned),
        names_accounts: reader.text("na").is_some(),
    })
}
