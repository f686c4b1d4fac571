//! Anything, in any order: in the end what was told is what the server has, and nothing was ever told to be gone
//! that was there all the time.

use std::time::Duration;

use proptest::{prelude::*, sample::select, test_runner::TestCaseError};
use svclb_tests::apiserver::{
    ApiServer, Expiry,
    call::Verb,
    fault::{Fault, Interruption},
};

use crate::support::{FAULTS, VERBS, Watch, filled_server, service, slice};

#[derive(Clone, Debug)]
enum Step {
    Service(&'static str, u8),
    /// Left to another proxy.
    Foreign(&'static str),
    Slice(&'static str, u8),
    Delete(&'static str, &'static str),
    Fault(&'static str, Verb, Fault, usize),
    Interrupt(Interruption),
    Expire(Expiry),
    Bookmark,
    Outage,
    /// Until the watch has told what the server has.
    Settle,
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const PLURALS: [&str; 2] = ["services", "endpointslices"];

fn step() -> impl Strategy<Value = Step> {
    let name = || select(&NAMES[..]);
    let plural = || select(&PLURALS[..]);
    let faults = (plural(), select(&VERBS[..]), select(&FAULTS[..]), 1_usize..3);
    let interruptions = [Interruption::End, Interruption::Cut, Interruption::Gone];
    prop_oneof![
        4 => (name(), 10_u8..13).prop_map(|(name, address)| Step::Service(name, address)),
        1 => name().prop_map(Step::Foreign),
        3 => (name(), 0_u8..4).prop_map(|(name, endpoints)| Step::Slice(name, endpoints)),
        3 => (plural(), name()).prop_map(|(plural, name)| Step::Delete(plural, name)),
        3 => faults.prop_map(|(plural, verb, fault, times)| Step::Fault(plural, verb, fault, times)),
        3 => select(interruptions.to_vec()).prop_map(Step::Interrupt),
        1 => select(vec![Expiry::Event, Expiry::Status]).prop_map(Step::Expire),
        1 => Just(Step::Bookmark),
        1 => Just(Step::Outage),
        1 => Just(Step::Settle),
    ]
}

async fn run(has_streams: bool, steps: Vec<Step>) -> anyhow::Result<()> {
    let mut server: ApiServer = filled_server()?;
    if !has_streams {
        server.disable_streams();
    }
    let mut watch = Watch::start_with(&server, Duration::from_millis(200)).await?;
    for step in steps {
        match step {
            Step::Service(name, address) => server.apply(service(name, address)),
            Step::Foreign(name) => {
                let mut foreign = service(name, 9);
                foreign["metadata"]["labels"] =
                    serde_json::json!({ "service.kubernetes.io/service-proxy-name": "other" });
                server.apply(foreign);
            }
            Step::Slice(name, endpoints) => server.apply(slice(name, endpoints)),
            Step::Delete(plural, name) => server.delete(plural, "default", name),
            Step::Fault(plural, verb, fault, times) => server.inject(plural, verb, fault, times),
            Step::Interrupt(how) => server.interrupt(how),
            Step::Expire(expiry) => server.expire(expiry),
            Step::Bookmark => server.bookmark(),
            Step::Outage => {
                server.stop()?;
                server.resume()?;
            }
            Step::Settle => watch.agrees_with(&server).await?,
        }
        // Whatever is ready may happen.
        tokio::task::yield_now().await;
    }
    server.heal();
    watch.agrees_with(&server).await?;
    let permanent = |(_, _, name): &&crate::support::Place| !NAMES.contains(&name.as_str());
    assert_eq!(watch.deleted.iter().find(permanent), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_all_is_as_the_server_has_it(has_streams: bool, steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(has_streams, steps)).map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
    }
}
