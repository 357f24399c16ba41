//! The paths of reconciliations.

use utoipa::OpenApi;

use super::super::reconciliations::{
    ReconcileRequest, ReconciliationAsked, ReconciliationPage, ReconciliationView,
};
use super::Problems;

#[derive(OpenApi)]
#[openapi(
    paths(all, one, now),
    components(schemas(ReconcileRequest, ReconciliationAsked, ReconciliationPage, ReconciliationView))
)]
pub(super) struct Document;

/// Lists how far connections are reconciled with what their providers list: those of which it can't be told first, then those
/// whose webhooks did not all come.
#[utoipa::path(
    get, path = "/reconciliations", tag = "reconciliations",
    params(
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("business" = Option<String>, Query, description = "One business's alone"),
        ("state" = Option<String>, Query, description = "Only those that are complete, gap, failing, unable, waiting or paused"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10_000, description = "At most so many; 100 unless told"),
    ),
    responses((status = 200, description = "How far they are", body = ReconciliationPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn all() {}

/// Tells how far a connection is reconciled, and what of its webhooks never came.
#[utoipa::path(
    get, path = "/connections/{id}/reconciliation", tag = "reconciliations",
    params(("id" = String, Path)),
    responses((status = 200, description = "How far it is", body = ReconciliationView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn one() {}

/// Has a connection reconciled now: what is due by itself, or a part of the past.
#[utoipa::path(
    post, path = "/connections/{id}/reconcile", tag = "reconciliations",
    params(("id" = String, Path)),
    request_body = ReconcileRequest,
    responses((status = 202, description = "It is being reconciled", body = ReconciliationAsked), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn now() {}
