//! A DynamoDB inside this process, behind the SDK's own client: what runs on one machine is the deployed code, down to
//! the request it makes.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use super::Table;
use crate::connections::Connections;
use crate::watched::{Of, Watched};

/// Answers DynamoDB's operations in this process.
#[async_trait]
pub trait LocalEndpoint: Send + Sync {
    /// Answers an operation, such as `PutItem`, whose body is DynamoDB's JSON: HTTP status and JSON. None, if no answer
    /// comes, as from a network that was cut.
    async fn call(&self, operation: &str, body: &[u8]) -> Option<(u16, Vec<u8>)>;
}

#[derive(Clone)]
struct InProcess(Arc<dyn LocalEndpoint>);

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let endpoint = self.0.clone();
        HttpConnectorFuture::new(async move {
            let operation =
                request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
            let body = request.body().bytes().unwrap_or_default();
            let answer = endpoint.call(operation.unwrap_or_default(), body).await;
            let (status, body) =
                answer.ok_or_else(|| ConnectorError::io("the embedded table did not answer".into()))?;
            let status =
                StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}

impl Connections {
    /// The table of this name behind an endpoint in this process.
    pub fn in_process(endpoint: Arc<dyn LocalEndpoint>, table: String) -> Self {
        Self::new(&crate::aws::in_process(SharedHttpClient::new(InProcess(endpoint))), table)
    }
}

impl Watched {
    /// What is kept in the tables of these names behind an endpoint in this process.
    pub fn in_process(
        endpoint: Arc<dyn LocalEndpoint>,
        of: Of,
        connections: String,
        figures: String,
    ) -> Self {
        let config = crate::aws::in_process(SharedHttpClient::new(InProcess(endpoint)));
        Self::new(&config, of, connections, figures).unspread()
    }
}

impl Table {
    /// The tables of these names behind an endpoint in this process.
    pub fn in_process(endpoint: Arc<dyn LocalEndpoint>, main: String, figures: String) -> Self {
        Self::new(&crate::aws::in_process(SharedHttpClient::new(InProcess(endpoint))), main, figures)
    }
}
