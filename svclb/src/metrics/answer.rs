//! `/metrics` and what stands beside it.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{Metrics, render::Render};
use crate::{
    explain::{About, Questions},
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
    questions: Option<Questions>,
    page: Page,
}

/// Where questions about objects of the API are answered: as it is, or followed by a namespace and a name, or by an
/// address.
const OBJECTS: &str = "/v1/objects";

impl Pages {
    /// Pages with these metrics, this configuration under `/configz`, and this page beside them.
    pub fn new(metrics: Metrics, config: &impl Serialize, page: Page) -> Self {
        Self {
            metrics,
            render: Render::default(),
            configz: json!({ "svclb.io": config }).to_string(),
            questions: None,
            page,
        }
    }

    /// With what the API says of Services, below `/v1/objects`.
    #[must_use]
    pub fn with_objects(self, questions: Questions) -> Self {
        Self { questions: Some(questions), ..self }
    }

    async fn objects(&self, path: &str) -> Option<String> {
        self.questions.as_ref()?.ask(About::parse(path)?).await
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
            _ => match path.strip_prefix(OBJECTS) {
                Some(path) => match self.objects(path).await {
                    Some(text) => (http::JSON, text),
                    None => return http::not_found(),
                },
                None => return self.page.answer(path, query).await,
            },
        };
        http::answer(StatusCode::OK, kind, text)
    }
}
