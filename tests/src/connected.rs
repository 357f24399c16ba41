//! Connections of a world, put into its table as a configuration that declares them does.

use secrecy::SecretString;
use serde_json::Value;
use tillwatch::stack::CONNECTIONS_TABLE;
use tillwatch_domain::{Connection, Role, State};
use tillwatch_platform::connections::{Connections, Kind};
use tillwatch_platform::table::Written;
use tillwatch_workflows::own_settings::sealed_for;

use crate::world::World;

/// A connection of this provider and these accounts, whose events take effect.
pub fn connection(id: &str, provider: &str, accounts: &[&str]) -> Connection {
    Connection {
        id: id.to_owned(),
        provider: provider.to_owned(),
        business: "harbour".to_owned(),
        location: None,
        accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
        place: None,
        state: State::Enabled,
        role: Role::Primary,
        settings: std::collections::BTreeMap::new(),
        sealed: std::collections::BTreeSet::new(),
        configured: None,
        automatic: false,
    }
}

impl World {
    /// The table of connections.
    pub fn connections(&self) -> Connections {
        Connections::in_process(self.stack().ports().table.clone(), CONNECTIONS_TABLE.to_owned())
    }

    /// Declares a connection, or what has become of it.
    pub async fn declare(&self, connection: &Connection) {
        self.declared(connection, None).await;
    }

    /// Declares a connection with webhook settings of its own.
    pub async fn declare_with(&self, connection: &Connection, settings: &Value) {
        let ring = self.stack().ports().webhook_vault.ring();
        let plain = SecretString::from(settings.to_string());
        self.declared(connection, Some(&ring.seal(&sealed_for(&connection.id), &plain))).await;
    }

    async fn declared(&self, connection: &Connection, sealed: Option<&str>) {
        let (connections, Connection { id, provider, .. }) = (self.connections(), connection);
        let before = connections.document::<Connection>(Kind::Connection, id).await.unwrap();
        let (former, revision) = before.map(|stored| (stored.document, stored.revision)).unzip();
        connections.route(former.as_ref(), connection, sealed).await.unwrap();
        let written = connections.put_document(Kind::Connection, id, provider, connection, revision).await;
        assert_eq!(written.unwrap(), Written::Yes);
    }
}
