//! Large files over HTTP: a Service, its server in a pod, and transfers both ways.

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Place, World,
    layout::{Family, Frontend, Machine, NODE1, NODE2, POD3},
    process::Process,
    wait::{PATIENCE, until},
};

/// Where nginx listens in a pod, and where it hands uploads to.
pub(crate) const PORT: u16 = 8081;
const SINK: u16 = 8082;

/// Bytes that are sent each way.
const SIZE: usize = 10 << 20;

/// A Service whose backends listen on `port`.
pub(crate) fn service(name: &str, number: u8, pods: &[Machine], port: u16) -> String {
    let [c4, c6] = Family::ALL.map(|family| Frontend::ClusterIp.of(number, family).ip());
    let [l4, l6] = Family::ALL.map(|family| Frontend::LoadBalancer.of(number, family).ip());
    let ports = ["TCP", "UDP"].map(|protocol| {
        format!("{{ name: {}, port: 80, protocol: {protocol}, targetPort: {port} }}", protocol.to_lowercase())
    });
    let service = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: default }}
spec:
  type: LoadBalancer
  clusterIP: \"{c4}\"
  clusterIPs: [\"{c4}\", \"{c6}\"]
  ipFamilies: [IPv4, IPv6]
  allocateLoadBalancerNodePorts: false
  ports: [{}]
status: {{ loadBalancer: {{ ingress: [{{ ip: \"{l4}\" }}, {{ ip: \"{l6}\" }}] }} }}
",
        ports.join(", ")
    );
    let slices = Family::ALL.map(|family| {
        let addresses: Vec<_> = pods.iter().map(|pod| format!("\"{}\"", pod.address(family))).collect();
        let node = if pods.contains(&POD3) { NODE2 } else { NODE1 };
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: {name}-{suffix}, namespace: default, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: {kind}
ports: [{{ name: tcp, port: {port}, protocol: TCP }}, {{ name: udp, port: {port}, protocol: UDP }}]
endpoints: [{{ addresses: [{addresses}], nodeName: {node} }}]
",
            suffix = family.as_str().to_lowercase(),
            kind = family.as_str(),
            addresses = addresses.join(", "),
            node = node.name,
        )
    });
    service + &slices.concat()
}

/// A server of large files, both ways, in a pod: what comes is taken in whole before it is answered.
pub(crate) fn serve(world: &World, pod: Machine) -> anyhow::Result<Process> {
    let folder = world.path(pod.name);
    fs::create_dir(&folder)?;
    fs::write(folder.join("file"), vec![7; SIZE])?;
    let folder = folder.to_string_lossy().into_owned();
    let file = format!("{folder}/nginx.conf");
    let configuration = format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 32m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen {PORT}; listen [::]:{PORT}; root {folder}; location /up {{ proxy_pass http://127.0.0.1:{SINK}; }} }}
  server {{ listen 127.0.0.1:{SINK}; location / {{ return 204; }} }}
}}
"
    );
    fs::write(&file, configuration)?;
    let error_log = format!("{folder}/error.log");
    world.start(Place::Pod(pod), "nginx", &["-c", &file, "-e", &error_log])
}

/// A transfer each way, which must end; without path-MTU discovery none does.
pub(crate) fn transfer(world: &World, place: Place, to: SocketAddr) -> anyhow::Result<()> {
    let source = world.path(place.machine().name).join("upload");
    if !source.exists() {
        fs::create_dir_all(source.parent().context("a folder")?)?;
        fs::write(&source, vec![9; SIZE])?;
    }
    let data = format!("@{}", source.display());
    let shown = "%{http_code} %{size_download} %{size_upload}";
    let common =
        ["--silent", "--show-error", "--globoff", "--max-time", "30", "--output", "/dev/null", "-w", shown];
    let (down, up) = (format!("http://{to}/file"), format!("http://{to}/up"));
    let upload = ["--header", "Expect:", "--data-binary", &data, &up];
    for (arguments, right) in
        [(&[&down[..]][..], format!("200 {SIZE} 0")), (&upload[..], format!("204 0 {SIZE}"))]
    {
        let output = world.run(place, "curl", &[&common[..], arguments].concat())?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text == right, "{place:?} {arguments:?}: {output:?}");
    }
    Ok(())
}

/// Waits for the servers.
pub(crate) fn ready(world: &World, place: Place, to: SocketAddr) -> anyhow::Result<()> {
    until("nginx", PATIENCE, || {
        let url = format!("http://{to}/none");
        let output = world.run(place, "curl", &["--silent", "--globoff", "--max-time", "5", &url])?;
        Ok(String::from_utf8_lossy(&output.stdout).contains("404").then_some(()))
    })?;
    Ok(())
}
