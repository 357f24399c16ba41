//! Whether an event costs the same however many are stored: the table calls' time, and the units that they take, at each
//! power of ten.

use std::time::Instant;

use tillwatch_tests::meter::Metered;
use tillwatch_tests::sender::sample;
use tillwatch_tests::world::{World, settings};

#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn run(events: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new().await;
        let (mut stored, mut next) = (0, 1_000);
        println!("{:>10} {:>16} {:>14} {:>14}", "stored", "µs an event", "write units", "read units");
        while stored < events {
            let batch = (next - stored).min(1_000);
            let before = world.meter.total();
            let started = Instant::now();
            for number in stored..stored + batch {
                let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
                assert_eq!(world.post(&sent).await, 200);
            }
            world.work().await;
            let took = started.elapsed();
            stored += batch;
            if stored == next {
                let Metered { write_milliunits, read_milliunits, .. } = world.meter.total().since(&before);
                println!(
                    "{stored:>10} {:>16} {:>14} {:>14}",
                    took.as_micros() / u128::from(batch),
                    thousandths(write_milliunits / batch),
                    thousandths(read_milliunits / batch),
                );
                next = (next * 10).min(events);
            }
        }
    });
}

/// A count of thousandths as a decimal number.
pub(crate) fn thousandths(count: u64) -> String {
    format!("{}.{:03}", count / 1_000, count % 1_000)
}
