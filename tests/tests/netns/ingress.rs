//! nginx as an ingress proxy: behind a load balancer address with policy Local, in front of two Services.

use std::fs;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    layout::{CLIENT, Family, Frontend, POD1, POD2, POD3, POD4},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

const INGRESS: u8 = 140;
const SHOP: u8 = 141;
const BLOG: u8 = 142;

/// Where nginx listens in its pod.
const PORT: u16 = 8081;

fn ingress() -> String {
    let [c4, c6] = Family::ALL.map(|family| Frontend::ClusterIp.of(INGRESS, family).ip());
    let [l4, l6] = Family::ALL.map(|family| Frontend::LoadBalancer.of(INGRESS, family).ip());
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: ingress, namespace: default }}
spec:
  type: LoadBalancer
  clusterIP: \"{c4}\"
  clusterIPs: [\"{c4}\", \"{c6}\"]
  ipFamilies: [IPv4, IPv6]
  externalTrafficPolicy: Local
  allocateLoadBalancerNodePorts: false
  ports: [{{ name: http, port: 80, targetPort: {PORT} }}]
status: {{ loadBalancer: {{ ingress: [{{ ip: \"{l4}\" }}, {{ ip: \"{l6}\" }}] }} }}
"
    );
    for family in Family::ALL {
        let slice = format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: ingress-{suffix}, namespace: default, labels: {{ kubernetes.io/service-name: ingress }} }}
addressType: {kind}
ports: [{{ name: http, port: {PORT} }}]
endpoints: [{{ addresses: [\"{address}\"], nodeName: node1 }}]
",
            suffix = family.as_str().to_lowercase(),
            kind = family.as_str(),
            address = POD1.address(family),
        );
        text.push_str(&slice);
    }
    text
}

/// nginx's configuration, with everything it writes in `folder`.
fn configuration(folder: &str) -> String {
    let [shop, blog] = [SHOP, BLOG].map(|number| Frontend::ClusterIp.of(number, Family::V4));
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen {PORT}; listen [::]:{PORT}; server_name shop.example; location / {{ proxy_pass http://{shop}; }} }}
  server {{ listen {PORT}; listen [::]:{PORT}; server_name blog.example; location / {{ proxy_pass http://{blog}; }} }}
}}
"
    )
}

fn get(world: &World, host: &str, family: Family) -> anyhow::Result<String> {
    let url = format!("http://{}/", Frontend::LoadBalancer.of(INGRESS, family));
    let header = format!("Host: {host}");
    let arguments = ["--silent", "--show-error", "--max-time", "5", "--globoff", "-H", &header, &url];
    let output = world.run(Place::Outside, "curl", &arguments)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn an_ingress_proxy_routes_hosts_and_sees_the_client() -> anyhow::Result<()> {
    world(|world| {
        world.publish_text("ingress.yaml", &ingress())?;
        world.publish(&Service::new("shop", SHOP, &[POD2, POD3]))?;
        world.publish(&Service::new("blog", BLOG, &[POD4]))?;
        let _agent = Agent::start(world, &[])?;
        let folder = world.path("nginx");
        fs::create_dir(&folder)?;
        let folder = folder.to_string_lossy().into_owned();
        let file = format!("{folder}/nginx.conf");
        fs::write(&file, configuration(&folder))?;
        let error_log = format!("{folder}/error.log");
        let nginx = world.start(Place::Pod(POD1), "nginx", &["-c", &file, "-e", &error_log])?;
        until("nginx", PATIENCE, || {
            Ok(get(world, "shop.example", Family::V4)?.starts_with("pod").then_some(()))
        })
        .map_err(|error| error.context(nginx.log.text()))?;
        for family in Family::ALL {
            for _ in 0..10 {
                let shop = get(world, "shop.example", family)?;
                ensure!(shop.starts_with("pod2") || shop.starts_with("pod3"), "shop: {shop}");
                let blog = get(world, "blog.example", family)?;
                ensure!(blog.starts_with("pod4"), "blog: {blog}");
            }
        }
        let log = fs::read_to_string(format!("{folder}/access.log"))?;
        for family in Family::ALL {
            let client = CLIENT.address(family).to_string();
            let seen = log.lines().filter(|line| line.starts_with(&format!("{client} "))).count();
            ensure!(seen >= 20, "{client} stands in {seen} lines of\n{log}");
        }
        Ok(())
    })
}
