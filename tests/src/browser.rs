//! A headless browser, told what to do by the Chrome `DevTools` Protocol over two pipes.
//!
//! <https://chromedevtools.github.io/devtools-protocol/>: messages of JSON, each with a zero byte behind it, read from
//! descriptor 3 and written to descriptor 4 with `--remote-debugging-pipe`.

use std::{
    ffi::OsString,
    io::{BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::netns::wait::here;

/// What Debian calls it.
pub const PROGRAM: &str = "chromium-headless-shell";

/// How long an answer may take; the first one waits for the browser to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser with one page, ended when it is dropped.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// Exceptions and errors of the page so far.
    complaints: Vec<String>,
}

/// Its command line: descriptors 3 and 4 are its standard input and output. It keeps its files in `folder`, and has no
/// sandbox of its own, which root cannot have.
pub fn arguments(folder: &Path) -> Vec<OsString> {
    let mut profile = OsString::from("--user-data-dir=");
    profile.push(folder);
    let flags = [
        "--remote-debugging-pipe",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ];
    let shell = ["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#, PROGRAM];
    shell.into_iter().chain(flags).map(OsString::from).chain([profile]).collect()
}

impl Browser {
    /// A browser with an empty page. `spawn` starts `sh` with [`arguments`], where it is to be.
    pub fn start(
        mut command: Command,
        spawn: impl FnOnce(Command) -> anyhow::Result<Child>,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(command)?;
        let to = child.stdin.take().context("no pipe")?;
        let from = follow(BufReader::new(child.stdout.take().context("no pipe")?));
        let mut browser = Self { child, to, from, session: None, last: 0, complaints: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method, and gives its result.
    pub fn call(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to.write_all(&bytes).context("the browser has ended")?;
        loop {
            let told = self.from.recv_timeout(here(PATIENCE));
            let mut told = told.with_context(|| format!("{method}: no answer; is {PROGRAM} there?"))?;
            if told["id"] == self.last {
                if !told["error"].is_null() {
                    bail!("{method}: {}", told["error"]);
                }
                return Ok(told["result"].take());
            }
            self.heard(&told);
        }
    }

    fn heard(&mut self, event: &Value) {
        let is_complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        if is_complaint {
            self.complaints.push(event["params"].to_string());
        }
    }

    /// Exceptions, and whatever the console has as an error, so far.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Goes to an address.
    pub fn go(&mut self, url: &str) -> anyhow::Result<()> {
        let told = self.call("Page.navigate", &json!({ "url": url }))?;
        if let Some(error) = told["errorText"].as_str() {
            bail!("{url}: {error}");
        }
        Ok(())
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut told = self.call("Runtime.evaluate", &params)?;
        if !told["exceptionDetails"].is_null() {
            bail!("{expression}: {}", told["exceptionDetails"]);
        }
        Ok(told["result"]["value"].take())
    }

    /// Has a window of this size; a scheme is `dark` or `light`.
    pub fn look(&mut self, width: u32, height: u32, scheme: &str) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &scheme).map(drop)
    }

    /// What is in the window, as a PNG.
    pub fn screenshot(&mut self) -> anyhow::Result<Vec<u8>> {
        let told = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        Ok(BASE64_STANDARD.decode(told["data"].as_str().context("no picture")?)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It takes its children along. It may have ended by itself.
        self.call("Browser.close", &json!({})).ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The messages that come.
fn follow(mut from: impl std::io::BufRead + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        loop {
            let mut bytes = Vec::new();
            let is_whole = from.read_until(0, &mut bytes).is_ok() && bytes.pop() == Some(0);
            let Some(message) = is_whole.then(|| serde_json::from_slice(&bytes).ok()).flatten() else {
                return;
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
