//! What handlers are built of, on this machine.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tillwatch_platform::outbound::Outbound;
use tillwatch_platform::table::Table;
use tillwatch_platform::watched::{Of, Watched};
use tillwatch_workflows::agenda::Agenda;
use tillwatch_workflows::backlog::Backlog;
use tillwatch_workflows::configuration::Configurator;
use tillwatch_workflows::credentials::Credentials;
use tillwatch_workflows::deadman::DeadMan;
use tillwatch_workflows::reconcile::{ReconcileRoster, Reconciler};
use tillwatch_workflows::tally::{Tallies, TallyStore};
use tillwatch_workflows::tokens::{Refresher, TokenRoster};
use tillwatch_workflows::watch::{Reach, Roster, Surveys, Watch};
use tokio::sync::Mutex;

use super::{CONNECTIONS_TABLE, FIGURES_TABLE, Polled, Ports};

/// What is to be done again and again. Its schedule comes all the time.
fn agenda(ports: &Ports, of: Of, jobs: &Arc<dyn Polled>) -> Agenda {
    let (connections, figures) = (CONNECTIONS_TABLE.to_owned(), FIGURES_TABLE.to_owned());
    Agenda {
        watched: Watched::in_process(ports.table.clone(), of, connections, figures),
        jobs: jobs.clone(),
        clock: ports.clock.clone(),
        ahead: Duration::ZERO,
    }
}

/// What refreshes tokens.
pub(super) fn refresher(ports: &Ports, configuration: &Configurator, outbound: &Arc<Outbound>) -> Refresher {
    Refresher {
        roster: Arc::new(TokenRoster { agenda: agenda(ports, Of::Tokens, &ports.refreshes) }),
        configuration: configuration.clone(),
        credentials: Credentials::new(configuration.clone()),
        doing: agenda(ports, Of::Health, &ports.checks).watched,
        outbound: Arc::clone(outbound),
        clock: ports.clock.clone(),
        metrics: ports.metrics.clone(),
    }
}

/// What compares what has arrived with what providers list.
pub(super) fn reconciler(
    ports: &Ports,
    table: &Table,
    configuration: &Configurator,
    outbound: &Arc<Outbound>,
    backlog: &Backlog,
) -> Reconciler {
    let agenda = agenda(ports, Of::Reconciliations, &ports.reconciliations);
    Reconciler {
        roster: Arc::new(ReconcileRoster { agenda, every: ports.reconcile_every }),
        connections: configuration.connections.clone(),
        credentials: Credentials::new(configuration.clone()),
        outbound: Arc::clone(outbound),
        table: table.clone(),
        backlog: backlog.clone(),
        payloads: ports.payloads.clone(),
        clock: ports.clock.clone(),
        metrics: ports.metrics.clone(),
    }
}

/// Who tells somebody outside that all is at work.
pub(super) fn deadman(ports: &Ports, watch: &Watch) -> DeadMan {
    DeadMan {
        url: ports.deadman_url.clone(),
        outbound: Arc::clone(&watch.outbound),
        beats: watch.roster.agenda.watched.beats().clone(),
        clock: ports.clock.clone(),
        told_ms: Mutex::default(),
    }
}

/// What tallies webhooks.
pub(super) fn tallies(
    ports: &Ports,
    table: &Table,
    backlog: &Backlog,
    watch: &Watch,
    refresher: &Refresher,
) -> Tallies {
    Tallies {
        table: table.clone(),
        store: Arc::clone(&watch.roster.tallies),
        roster: Arc::clone(&watch.roster),
        tokens: Arc::clone(&refresher.roster),
        backlog: backlog.clone(),
        clock: ports.clock.clone(),
        metrics: ports.metrics.clone(),
    }
}

/// What checks connections.
pub(super) fn watch(
    ports: &Ports,
    table: &Table,
    configuration: &Configurator,
    outbound: &Arc<Outbound>,
) -> Watch {
    let roster = Roster {
        connections: configuration.connections.clone(),
        agenda: agenda(ports, Of::Health, &ports.checks),
        beside: ports.beside.clone(),
        surveys: Surveys::default(),
        tallies: Arc::new(TallyStore::new(ports.payloads.clone(), ports.clock.clone())),
        clock: ports.clock.clone(),
        every: ports.check_every,
        signed_ms: AtomicI64::default(),
    };
    Watch {
        roster: Arc::new(roster),
        tokens: agenda(ports, Of::Tokens, &ports.refreshes).watched,
        events: table.clone(),
        webhook_vault: Arc::clone(&configuration.webhook_vault),
        credentials: Credentials::new(configuration.clone()),
        outbound: Arc::clone(outbound),
        reach: Reach::new(&ports.references),
        asked_peers: Mutex::default(),
        metrics: ports.metrics.clone(),
    }
}
