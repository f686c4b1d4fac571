//! `/metrics` and what stands beside it.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{Metrics, render::Render};
use crate::{
    http::{self, Answer, PLAIN},
    page::Page,
};

/// The type of the text format, version 0.0.4.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the metrics server answers.
#[derive(Debug)]
pub struct Pages {
    metrics: Metrics,
    render: Render,
    configz: String,
    page: Page,
}

impl Pages {
    /// Pages with these metrics, this configuration under `/configz`, and this page beside them.
    pub fn new(metrics: Metrics, config: &impl Serialize, page: Page) -> Self {
        Self { metrics, render: Render::default(), configz: json!({ "svclb.io": config }).to_string(), page }
    }

    /// The answer at a path.
    pub(super) async fn answer(&self, path: &str, query: &str) -> Answer {
        let (kind, text) = match path {
            "/metrics" => {
                // Large tables take a while to read, in which the agent has better things to do.
                let metrics = self.metrics.clone();
                match self.render.text(move || metrics.text()).await {
                    Ok(text) => (EXPOSITION, text),
                    Err(error) => {
                        let text = format!("{error}\n");
                        return http::answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text);
                    }
                }
            }
            "/healthz" => (PLAIN, "ok".to_owned()),
            "/proxyMode" => (PLAIN, "svclb".to_owned()),
            "/configz" => (http::JSON, self.configz.clone()),
            _ => return self.page.answer(path, query).await,
        };
        http::answer(StatusCode::OK, kind, text)
    }
}
