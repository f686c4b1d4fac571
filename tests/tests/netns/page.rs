//! The page on the metrics port, in a real browser.

use std::{fs, net::SocketAddr, process::Command, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use svclb::{
    metrics::{self, Metrics, Pages},
    model::{Family as ModelFamily, Protocol, ServicePortKey},
    page::{Look, Page},
    usage::{Backend, BackendTraffic, Drop, Frontend, PortTraffic, Reading, ServicePort},
};
use svclb_tests::{
    browser::{self, Browser},
    netns::{
        Agent, Place, World,
        client::Mode,
        layout::{Family, Frontend as Address, NODE1, POD1, POD2, POD3},
        manifest::Service,
        process,
        wait::{PATIENCE, until},
    },
};
use tokio_util::sync::CancellationToken;

use crate::support::world;

/// Where the picture of the README goes, if this names a file.
const PICTURE: &str = "SVCLB_PAGE_PNG";

/// A browser on the first node.
fn browser(world: &World) -> anyhow::Result<Browser> {
    let arguments = browser::arguments(&world.path("browser"));
    let command = process::command(&world.cgroup(NODE1.name), "sh".as_ref(), arguments);
    let namespace = world.namespace(NODE1.name);
    Browser::start(command, |mut command| {
        namespace.run(move || command.spawn())?.context("cannot start a browser")
    })
}

/// Waits until an expression is true in the page.
fn seen(browser: &mut Browser, what: &str, expression: &str) -> anyhow::Result<()> {
    let look = || Ok((browser.evaluate(expression)? == Value::Bool(true)).then_some(()));
    let outcome = until(what, PATIENCE, look);
    let text = browser.evaluate("document.body.innerText")?;
    outcome.with_context(|| text.to_string())?;
    Ok(())
}

fn json(world: &World, path: &str) -> anyhow::Result<Value> {
    let output = world.run(Place::Host, "curl", &["--silent", &format!("http://127.0.0.1:10249{path}")])?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_page_shows_services_with_backends_and_live_rates() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 10, &[POD1, POD2, POD3]))?;
        world.publish(&Service::new("idle", 11, &[POD3]))?;
        world.publish(&Service::new("empty", 12, &[]))?;
        let _agent = Agent::start(world, &[])?;
        let load = world.load(Place::Outside, Mode::Tcp, Address::NodePort.of(10, Family::V4))?;
        let browser = &mut browser(world)?;
        browser.look(1000, 640, "light")?;
        browser.go("http://127.0.0.1:10249/")?;
        let web = "[...document.querySelectorAll('article')].find(card => \
                   card.innerText.includes('default/web:tcp') && card.innerText.includes('IPv4'))";
        seen(browser, "a rate above zero", &format!("Number({web}?.dataset.bytesPerSecond) > 0"))?;
        for pod in [POD1, POD2, POD3] {
            seen(browser, "a backend", &format!("{web}.innerText.includes('{}:')", pod.v4))?;
        }
        seen(browser, "the node port", &format!("{web}.innerText.includes('NodePort')"))?;
        seen(browser, "the busiest first", &format!("document.querySelector('article') === {web}"))?;
        seen(browser, "a line", &format!("{web}.querySelector('polyline').points.numberOfItems > 2"))?;
        seen(browser, "its state", "document.querySelector('#state').innerText === 'in sync'")?;
        if let Some(path) = std::env::var_os(PICTURE) {
            seen(
                browser,
                "a longer line",
                &format!("{web}.querySelector('polyline').points.numberOfItems > 8"),
            )?;
            fs::write(path, browser.screenshot()?)?;
        }
        // Only what the filter says, and what has no backends says so.
        let filter =
            |text: &str| format!("(filter.value = '{text}', filter.dispatchEvent(new Event('input')), true)");
        browser.evaluate(&filter("empty udp"))?;
        let cards = "[...document.querySelectorAll('article')].map(card => card.innerText)";
        seen(
            browser,
            "the filter",
            &format!("{cards}.length === 2 && {cards}.every(text => text.includes('no backends'))"),
        )?;
        browser.evaluate(&filter(""))?;
        // In the dark, and on a phone.
        let ground = "getComputedStyle(document.body).backgroundColor";
        let light = browser.evaluate(ground)?;
        browser.look(390, 800, "dark")?;
        ensure!(browser.evaluate(ground)? != light, "the same colours in the dark: {light}");
        seen(browser, "no scrolling aside", "document.documentElement.scrollWidth <= 390")?;
        ensure!(browser.complaints().is_empty(), "{:#?}", browser.complaints());
        load.finish()?;

        let services = json(world, "/v1/services?filter=web+ipv4+tcp")?;
        ensure!(services["matching"] == 1, "{services}");
        ensure!(services["services"][0]["traffic"]["flows"].as_u64() > Some(0), "{services}");
        let status = json(world, "/v1/status")?;
        ensure!(status["synced"] == true, "{status}");
        Ok(())
    })
}

/// Texts that would be heard if they were markup.
const HOSTILE: [&str; 4] = [
    "<img src=x onerror=heard=1>",
    "</script><script>heard=1</script>",
    "\"><svg onload=heard=1>",
    "javascript:heard=1//'\"`${heard=1}",
];

/// Tables in which every name is one of these.
struct Hostile;

impl Look for Hostile {
    fn look(&self) -> Result<Reading, String> {
        let port = |text: &str| ServicePort {
            key: ServicePortKey {
                namespace: text.into(),
                name: text.into(),
                port_name: text.into(),
                protocol: Protocol::Tcp,
                family: ModelFamily::V4,
            },
            namespace: text.into(),
            name: text.into(),
            port_name: text.into(),
            protocol: "TCP",
            ip_family: "IPv4",
            algorithm: "random",
            max_new_flows_per_second: 0,
            internal_traffic_policy: "Cluster",
            external_traffic_policy: "Cluster",
            session_affinity_seconds: 0,
            source_ranges: None,
            frontends: vec![Frontend { kind: "ClusterIP", address: [10, 96, 0, 1].into(), port: 80 }],
            backends: vec![Backend {
                id: 1,
                address: [10, 0, 0, 1].into(),
                port: 80,
                node: Some(text.into()),
                local: true,
                state: "active",
                lists: vec!["cluster"],
                weight: 1,
                traffic: BackendTraffic::default(),
                flows_per_second: None,
            }],
            traffic: PortTraffic::default(),
            per_second: None,
        };
        let drops = vec![Drop { reason: "no_backend", count: 1, per_second: None }];
        let ports = HOSTILE.map(port).into();
        Ok(Reading { at: Instant::now(), synced: true, agent: Some(1), ports, drops })
    }

    fn status(&self) -> Result<String, String> {
        Err(HOSTILE[0].into())
    }
}

/// Serves them until told to stop.
fn serve() -> anyhow::Result<(SocketAddr, CancellationToken)> {
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(async { svclb::http::listen(([127, 0, 0, 1], 0).into()) })?;
    let (address, stopped) = (listener.local_addr()?, stop.clone());
    let pages = Pages::new(Metrics::default(), &Value::Null, Page::new(Hostile));
    std::thread::spawn(move || runtime.block_on(metrics::serve(listener, pages, stopped)));
    Ok((address, stop))
}

#[test]
fn no_name_is_markup() -> anyhow::Result<()> {
    let (address, stop) = serve()?;
    let _stop = stop.drop_guard();
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(browser::arguments(folder.path()));
    let browser = &mut Browser::start(command, |mut command| Ok(command.spawn()?))?;
    browser.go(&format!("http://{address}/"))?;
    for text in HOSTILE {
        let text = Value::from(text);
        seen(browser, "the name as it is", &format!("document.body?.innerText.includes({text}) === true"))?;
    }
    ensure!(browser.evaluate("typeof heard === 'undefined'")? == true, "a name was run");
    ensure!(browser.complaints().is_empty(), "{:#?}", browser.complaints());
    // Nor would it be run if it were put in as markup.
    let inject = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=heard=1>'); \
                  const script = document.createElement('script'); script.textContent = 'heard = 1'; \
                  document.body.append(script); typeof heard === 'undefined'";
    ensure!(browser.evaluate(inject)? == true, "a script that is not the page's own was run");
    seen(browser, "the policy's refusal", "document.querySelectorAll('script').length === 2")?;
    ensure!(browser.evaluate("typeof heard === 'undefined'")? == true, "an image's handler was run");
    Ok(())
}
